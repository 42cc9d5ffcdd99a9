//! When a client has all that it is to have: releases wait for that.

use super::order::mesh;
use super::support::*;
use crate::kind::Kind;
use crate::protocol::{Delta, Sotw};

both! {
    /// A client is not done before it has asked for what its listeners name: until then it may run
    /// on routes from before.
    fn synced_means_fully_subscribed<C: Speak>() {
        let mut client = C::aggregated(snapshot(1, &mesh(1, &["a"])));
        client.want(Kind::Cluster, &[]);
        client.accept(Kind::Cluster, &["a"]);
        client.expect_silence();
        assert_eq!(client.synced(), 0, "no listeners yet");
        client.want(Kind::Listener, &[]);
        client.accept(Kind::Listener, &["l"]);
        client.want(Kind::Route, &["l"]);
        client.accept(Kind::Route, &["l"]);
        client.expect_silence();
        assert_eq!(client.synced(), 0, "no filter yet");
        client.want(Kind::Extension, &[FILTER]);
        client.accept(Kind::Extension, &[FILTER]);
        client.expect_silence();
        assert_eq!(client.synced(), 1);
    }
}

both! {
    /// A client with listeners of its own, or that takes ours on another stream, is done when it
    /// has its routes.
    fn routes_without_listeners_are_enough<C: Speak>() {
        let mut client = C::aggregated(snapshot(1, &mesh(1, &["a"])));
        client.want(Kind::Route, &["l"]);
        client.accept(Kind::Route, &["l"]);
        client.expect_silence();
        assert_eq!(client.synced(), 1);
    }
}

both! {
    /// Listeners that need nothing are for gRPC clients, which ask for them by name: nobody has to.
    fn api_listeners_make_nobody_wait<C: Speak>() {
        let api = api_listener("order");
        let mut client = C::aggregated(snapshot(1, &[api, cluster("a", 1)]));
        client.want(Kind::Cluster, &[]);
        client.accept(Kind::Cluster, &["a"]);
        client.expect_silence();
        assert_eq!(client.synced(), 1);
        client.want(Kind::Listener, &["order"]);
        client.accept(Kind::Listener, &["order"]);
        client.expect_silence();
        assert_eq!(client.synced(), 1);
    }
}
