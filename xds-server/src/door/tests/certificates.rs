//! Certificates as they should not be.

use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, KeyUsagePurpose, SanType};

use super::ca::{Ca, named, uri};
use crate::door::identity::{NoIdentity, NotSpiffe, SpiffeId};

const SHOP: &str = "spiffe://example.org/ns/shop/web";

fn read(params: &CertificateParams) -> Result<SpiffeId, NoIdentity> {
    SpiffeId::of_certificate(&Ca::new().sign(params).der)
}

#[test]
fn the_one_uri_is_the_identity_whatever_stands_beside_it() {
    let dns = || SanType::DnsName("web.example.org".try_into().unwrap());
    for names in [vec![uri(SHOP)], vec![dns(), uri(SHOP)], vec![uri(SHOP), dns()]] {
        assert_eq!(read(&named(names)).unwrap().to_string(), SHOP);
    }
}

#[test]
fn no_uri_or_two_are_no_identity() {
    assert_eq!(read(&named([])).unwrap_err(), NoIdentity::Uris(0));
    let two = named([uri(SHOP), uri("spiffe://example.org/ns/shop/admin")]);
    assert_eq!(read(&two).unwrap_err(), NoIdentity::Uris(2));
    let other = named([uri(SHOP), uri("https://example.org/")]);
    assert_eq!(read(&other).unwrap_err(), NoIdentity::Uris(2), "whatever the second is");
}

#[test]
fn a_uri_that_is_no_spiffe_id_is_no_identity() {
    for (text, why) in [
        ("https://example.org/ns/shop", NotSpiffe::Scheme),
        ("SPIFFE://example.org/ns/shop", NotSpiffe::Scheme),
        ("spiffe://example.org", NotSpiffe::NoPath),
        ("spiffe://example.org/", NotSpiffe::Segment),
        ("spiffe://example.org/ns//shop", NotSpiffe::Segment),
        ("spiffe://example.org/ns/../shop", NotSpiffe::Segment),
        ("spiffe://example.org/ns/shop?x", NotSpiffe::Segment),
        ("spiffe://example.org/ns%2fshop", NotSpiffe::Segment),
        ("spiffe://example.org:80/ns/shop", NotSpiffe::TrustDomain),
        ("spiffe://user@example.org/ns/shop", NotSpiffe::TrustDomain),
        ("spiffe:///ns/shop", NotSpiffe::TrustDomain),
    ] {
        let refused = read(&named([uri(text)])).unwrap_err();
        assert_eq!(refused, NoIdentity::NotSpiffe(why), "{text}");
    }
    let long = format!("spiffe://example.org/{}", "x".repeat(2048));
    assert_eq!(read(&named([uri(&long)])).unwrap_err(), NoIdentity::NotSpiffe(NotSpiffe::TooLong));
}

#[test]
fn who_may_sign_others_is_no_workload() {
    let mut ca = named([uri(SHOP)]);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(read(&ca).unwrap_err(), NoIdentity::Signs);
    for usage in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        let mut signer = named([uri(SHOP)]);
        signer.key_usages = vec![usage];
        assert_eq!(read(&signer).unwrap_err(), NoIdentity::Signs);
    }
}

#[test]
fn what_cannot_be_read_is_no_identity() {
    assert_eq!(SpiffeId::of_certificate(b"").unwrap_err(), NoIdentity::Unreadable);
    assert_eq!(SpiffeId::of_certificate(&[0x30; 100]).unwrap_err(), NoIdentity::Unreadable);
    let mut trailing = Ca::new().svid(SHOP).der;
    trailing.push(0);
    assert_eq!(SpiffeId::of_certificate(&trailing).unwrap_err(), NoIdentity::Unreadable);
    // The names twice, each set with another: validators could read either.
    let mut twice = named([uri(SHOP)]);
    let other = b"spiffe://example.org/x";
    let length = u8::try_from(other.len()).unwrap();
    let mut names = vec![0x30, 2 + length, 0x86, length];
    names.extend_from_slice(other);
    twice.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 17], names));
    assert_eq!(read(&twice).unwrap_err(), NoIdentity::Unreadable);
}
