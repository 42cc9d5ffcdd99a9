//! The keys of route tokens, in a file of the data directory.
//!
//! # Rotation
//! A token is effective if the mesh has a route for it *and* a filter sends it, and both change at different times. So a
//! second key is added, and each step waits for the one before:
//!
//! | Step | File | Routes match | Filters send |
//! |---|---|---|---|
//! | `tidegate envoy istio` | one key | A | A |
//! | `… --rotate`; apply the manifests | A, next B | A and B | A |
//! | `… --activate`, after istiod has sent the routes to all sidecars | B, previous A | A and B | A, then B |
//! | the server retires A, when every reporter has a configuration with B | one key | A and B | B |
//! | `tidegate envoy istio`; apply the manifests | one key | B | B |
//!
//! Tidegate has no access to the mesh, so only an operator can confirm that the routes are in force: `--activate` is that
//! confirmation. If it comes too early, a request whose token has no route yet is routed to stable, as one without token.
//! The server retires a key, because only its reporters show which configuration they have. A sidecar that does not report
//! at that time and keeps A is routed to stable from the last step on.
//!
//! # Callers
//! The server calls [`KeyStore::read`] for the key whose tokens it sends ([`Keys::sent`]) and [`KeyStore::retire`]; the
//! command line adds and activates keys, also while the server runs. Each transition starts from another state of the file,
//! so the two never write at once.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidegate_xds::tokens::{KeyId, TokenKey};

/// File in the data directory.
const FILE: &str = "istio.keys";

/// The keys in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// No rotation.
    One(TokenKey),
    /// A key was added: routes match its tokens, filters do not send them yet.
    Added {
        /// Filters send its tokens.
        current: TokenKey,
        /// The added key.
        next: TokenKey,
    },
    /// The added key was activated: some filters may still send tokens of the previous one.
    Activated {
        /// The added key.
        current: TokenKey,
        /// The key before.
        previous: TokenKey,
    },
}

impl Keys {
    /// The key whose tokens filters send.
    #[must_use]
    pub const fn sent(&self) -> &TokenKey {
        match self {
            Self::One(key) => key,
            Self::Added { current, .. } | Self::Activated { current, .. } => current,
        }
    }

    /// The other key whose tokens routes match, during a rotation.
    #[must_use]
    pub const fn other(&self) -> Option<&TokenKey> {
        match self {
            Self::One(_) => None,
            Self::Added { next: other, .. } | Self::Activated { previous: other, .. } => {
                Some(other)
            }
        }
    }

    /// The keys whose tokens routes match, first the one that filters send.
    pub fn matched(&self) -> impl Iterator<Item = &TokenKey> {
        std::iter::once(self.sent()).chain(self.other())
    }
}

/// Why keys are not available, or a step of a rotation is not possible.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("cannot read or write the keys of route tokens, {path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// There is no file.
    #[error(
        "there are no keys of route tokens, {0}; `tidegate serve` creates them when its configuration has an Istio fleet: start \
         it once, and run this command where its data is"
    )]
    NoKeys(PathBuf),
    /// The file has another content.
    #[error(
        "{0} does not contain keys of route tokens; restore it, or remove it and apply new manifests"
    )]
    NotKeys(PathBuf),
    /// A rotation has begun.
    #[error(
        "a rotation is under way: the key {0} was added; apply the manifests, then run it with --activate"
    )]
    AlreadyAdded(KeyId),
    /// A rotation is not finished.
    #[error(
        "a rotation is under way: filters with the key {0} may be left; the server ends the rotation when none reports it, or \
         --retire does"
    )]
    NotRetired(KeyId),
    /// There is no added key.
    #[error("there is no key to activate; add one with --rotate")]
    NothingAdded,
    /// There is no previous key.
    #[error("there is no key to retire")]
    NothingToRetire,
}

/// The file with the keys.
#[derive(Debug, Clone)]
pub struct KeyStore {
    path: PathBuf,
}

/// The content of the file, in hexadecimal digits.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    current: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
}

impl KeyStore {
    /// The keys of a data directory. The first call creates one.
    ///
    /// # Errors
    /// When the file can be neither read nor created, or contains something else.
    pub fn open(data_dir: &Path) -> Result<Self, KeyError> {
        let store = Self { path: data_dir.join(FILE) };
        if store.path.try_exists().map_err(|error| store.io(error))? {
            store.read()?;
            return Ok(store);
        }
        fs::create_dir_all(data_dir).map_err(|error| store.io(error))?;
        store.write(&Keys::One(random()))?;
        Ok(store)
    }

    /// The keys that the server has created. Tokens of any other key would match no route.
    ///
    /// # Errors
    /// When there are none, and as [`KeyStore::read`].
    pub fn existing(data_dir: &Path) -> Result<Self, KeyError> {
        let store = Self { path: data_dir.join(FILE) };
        if !store.path.try_exists().map_err(|error| store.io(error))? {
            return Err(KeyError::NoKeys(store.path));
        }
        store.read()?;
        Ok(store)
    }

    /// The keys now. The command line changes them while the server runs.
    ///
    /// # Errors
    /// When the file cannot be read or contains something else.
    pub fn read(&self) -> Result<Keys, KeyError> {
        let text = fs::read_to_string(&self.path).map_err(|error| match error.kind() {
            ErrorKind::InvalidData => KeyError::NotKeys(self.path.clone()),
            _ => self.io(error),
        })?;
        parse(&text).ok_or_else(|| KeyError::NotKeys(self.path.clone()))
    }

    /// Adds a key: manifests match its tokens from now on.
    ///
    /// # Errors
    /// During a rotation, and as [`KeyStore::read`].
    pub fn rotate(&self) -> Result<Keys, KeyError> {
        match self.read()? {
            Keys::One(current) => self.write(&Keys::Added { current, next: random() }),
            Keys::Added { next, .. } => Err(KeyError::AlreadyAdded(next.id())),
            Keys::Activated { previous, .. } => Err(KeyError::NotRetired(previous.id())),
        }
    }

    /// Makes the added key the one whose tokens filters send. The routes of the mesh must match them.
    ///
    /// # Errors
    /// Without an added key, and as [`KeyStore::read`].
    pub fn activate(&self) -> Result<Keys, KeyError> {
        match self.read()? {
            Keys::Added { current, next } => {
                self.write(&Keys::Activated { current: next, previous: current })
            }
            Keys::One(_) | Keys::Activated { .. } => Err(KeyError::NothingAdded),
        }
    }

    /// Removes the previous key. No filter may send its tokens.
    ///
    /// # Errors
    /// Without a previous key, and as [`KeyStore::read`].
    pub fn retire(&self) -> Result<Keys, KeyError> {
        match self.read()? {
            Keys::Activated { current, .. } => self.write(&Keys::One(current)),
            Keys::One(_) | Keys::Added { .. } => Err(KeyError::NothingToRetire),
        }
    }

    /// Replaces the file: a reader sees the old keys or the new ones.
    fn write(&self, keys: &Keys) -> Result<Keys, KeyError> {
        let secret = |key: &TokenKey| Some(key.secret());
        let (next, previous) = match keys {
            Keys::One(_) => (None, None),
            Keys::Added { next, .. } => (secret(next), None),
            Keys::Activated { previous, .. } => (None, secret(previous)),
        };
        let stored = Stored { current: keys.sent().secret(), next, previous };
        let replace = || {
            let text = serde_json::to_string(&stored)?;
            let temporary = self.path.with_extension("keys.new");
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)?;
            // The directory has the name of the file.
            self.path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
        };
        replace().map_err(|error| self.io(error))?;
        Ok(keys.clone())
    }

    fn io(&self, error: io::Error) -> KeyError {
        KeyError::Io { path: self.path.clone(), error }
    }
}

fn parse(text: &str) -> Option<Keys> {
    let Stored { current, next, previous } = serde_json::from_str(text).ok()?;
    let current = TokenKey::from_hex(&current)?;
    match (next, previous) {
        (None, None) => Some(Keys::One(current)),
        (Some(next), None) => Some(Keys::Added { current, next: TokenKey::from_hex(&next)? }),
        (None, Some(previous)) => {
            Some(Keys::Activated { current, previous: TokenKey::from_hex(&previous)? })
        }
        (Some(_), Some(_)) => None,
    }
}

fn random() -> TokenKey {
    TokenKey::new(rand::random())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_created_once_and_readable_by_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        assert!(matches!(KeyStore::existing(&data_dir), Err(KeyError::NoKeys(_))));
        let keys = KeyStore::open(&data_dir).unwrap().read().unwrap();
        assert_eq!(KeyStore::open(&data_dir).unwrap().read().unwrap(), keys);
        let mode = fs::metadata(data_dir.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }

    /// At each step, routes match what filters send before and after it.
    #[test]
    fn a_rotation_never_sends_a_token_that_routes_do_not_match() {
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::open(dir.path()).unwrap();
        let Keys::One(first) = store.read().unwrap() else { panic!("one key") };
        assert!(matches!(store.activate(), Err(KeyError::NothingAdded)));
        assert!(matches!(store.retire(), Err(KeyError::NothingToRetire)));

        let added = store.rotate().unwrap();
        assert_eq!((added.sent(), added.matched().count()), (&first, 2));
        let second = added.other().unwrap().clone();
        assert_ne!(second, first);
        assert!(matches!(store.rotate(), Err(KeyError::AlreadyAdded(_))));
        assert!(matches!(store.retire(), Err(KeyError::NothingToRetire)));

        let activated = store.activate().unwrap();
        assert_eq!(activated, Keys::Activated { current: second.clone(), previous: first });
        assert_eq!((activated.sent(), activated.matched().count()), (&second, 2));
        assert!(matches!(store.rotate(), Err(KeyError::NotRetired(_))));

        assert_eq!(store.retire().unwrap(), Keys::One(second));
        assert_eq!(KeyStore::open(dir.path()).unwrap().read().unwrap(), store.read().unwrap());
    }

    #[test]
    fn a_file_without_keys_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        for text in
            ["", "{}", r#"{"current":"short"}"#, r#"{"current":"","previous":"","next":""}"#]
        {
            fs::write(dir.path().join(FILE), text).unwrap();
            let error = KeyStore::open(dir.path()).unwrap_err();
            assert!(matches!(error, KeyError::NotKeys(_)), "{text}: {error}");
        }
        fs::write(dir.path().join(FILE), [0xff]).unwrap();
        assert!(matches!(KeyStore::open(dir.path()), Err(KeyError::NotKeys(_))));
    }
}
