//! New files while the server runs. They are read every few seconds, whatever the file system says
//! of them: that also finds files that were changed by swapping a link to their directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;
use tokio_rustls::rustls::ServerConfig;
use tracing::{error, info};

use super::files::{Contents, TlsError, TlsFiles};
use crate::counters::Counter;

/// How often they are read.
pub const PERIOD: Duration = Duration::from_secs(5);

/// Keeps what handshakes need as new as the files.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    newest: watch::Sender<Arc<ServerConfig>>,
    seen: Seen,
    stats: Arc<TlsStats>,
}

/// How the certificates fare, for `/metrics`.
#[derive(Debug, Default)]
pub struct TlsStats {
    /// When the server's certificate expires, in seconds since 1970.
    pub not_after: AtomicI64,
    /// New files that were taken.
    pub reloaded: Counter,
    /// New files that could not be used.
    pub failed: Counter,
}

/// What the files were when they were read last.
enum Seen {
    Contents(Contents),
    /// They could not be read, in these words.
    Nothing(String),
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The contents hold a private key.
        match self {
            Self::Contents(_) => f.write_str("Contents"),
            Self::Nothing(why) => f.debug_tuple("Nothing").field(why).finish(),
        }
    }
}

impl Certificates {
    /// Reads them for the first time.
    ///
    /// # Errors
    /// If they cannot be used: a server must not start without.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let contents = files.read()?;
        let loaded = files.load(&contents)?;
        let stats = TlsStats { not_after: loaded.not_after.into(), ..TlsStats::default() };
        Ok(Self {
            files,
            newest: watch::Sender::new(loaded.config),
            seen: Seen::Contents(contents),
            stats: Arc::new(stats),
        })
    }

    /// What a handshake needs, always the newest.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.newest.subscribe()
    }

    /// How they fare.
    #[must_use]
    pub fn stats(&self) -> Arc<TlsStats> {
        Arc::clone(&self.stats)
    }

    /// Reads them again and again. Returns only if that itself fails.
    pub async fn follow(mut self, period: Duration) -> JoinError {
        loop {
            sleep(period).await;
            let looked = spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(same) => self = same,
                Err(error) => return error,
            }
        }
    }

    /// Takes what changed, if it can be used. What cannot is told once, until it changes again:
    /// one who writes three files is seen in between.
    fn look(&mut self) {
        let read = self.files.read();
        let same = match (&read, &self.seen) {
            (Ok(contents), Seen::Contents(seen)) => contents == seen,
            (Err(error), Seen::Nothing(seen)) => error.to_string() == *seen,
            _ => false,
        };
        if same {
            return;
        }
        match read.as_ref().map(|contents| self.files.load(contents)) {
            Ok(Ok(loaded)) => {
                self.newest.send_replace(loaded.config);
                self.stats.not_after.store(loaded.not_after, Ordering::Relaxed);
                self.stats.reloaded.add_one();
                info!("new handshakes use the new certificates");
            }
            Ok(Err(error)) => self.fail(&error),
            Err(error) => self.fail(error),
        }
        self.seen = match read {
            Ok(contents) => Seen::Contents(contents),
            Err(error) => Seen::Nothing(error.to_string()),
        };
    }

    fn fail(&self, error: &TlsError) {
        self.stats.failed.add_one();
        error!(%error, "the new certificates cannot be used; the old ones stay");
    }
}
