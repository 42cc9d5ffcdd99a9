//! Where the server dies. Counts the places where it acts, and at one of them ends it.

use parking_lot::Mutex;
use tokio::sync::watch;

/// One place, counted from 1 in the order in which a run comes to them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// An append: what it would have written is lost, or it is written and nobody acted on it.
    Append { number: usize, written: bool },
    /// A call: it has arrived and is not answered, or it is answered and that is not journaled.
    Call { number: usize, answered: bool },
}

/// What becomes of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is written, and all goes on.
    Written,
    /// Death comes first.
    Lost,
    /// It is written, and then comes death.
    Last,
}

#[derive(Debug, Default)]
struct Burning {
    cut: Option<Cut>,
    appends: usize,
    calls: usize,
    /// Nothing will be written in this life any more.
    condemned: bool,
}

#[derive(Debug)]
pub(crate) struct Fuse {
    burning: Mutex<Burning>,
    dead: watch::Sender<bool>,
}

impl Fuse {
    pub(crate) fn new(cut: Option<Cut>) -> Self {
        let burning = Mutex::new(Burning { cut, ..Burning::default() });
        Self { burning, dead: watch::Sender::default() }
    }

    pub(crate) fn append(&self) -> Fate {
        let mut burning = self.burning.lock();
        if burning.condemned {
            return Fate::Lost;
        }
        burning.appends += 1;
        match burning.cut {
            Some(Cut::Append { number, written }) if number == burning.appends => {
                burning.cut = None;
                burning.condemned = true;
                if written { Fate::Last } else { Fate::Lost }
            }
            _ => Fate::Written,
        }
    }

    /// Whether a call is to be answered.
    pub(crate) fn call(&self) -> bool {
        let mut burning = self.burning.lock();
        if burning.condemned {
            return true;
        }
        burning.calls += 1;
        match burning.cut {
            Some(Cut::Call { number, answered }) if number == burning.calls => {
                burning.cut = None;
                burning.condemned = true;
                if !answered {
                    self.die();
                }
                answered
            }
            _ => true,
        }
    }

    pub(crate) fn die(&self) {
        self.dead.send_replace(true);
    }

    pub(crate) fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    pub(crate) async fn death(&self) {
        // The sender is here.
        self.dead.subscribe().wait_for(|dead| *dead).await.ok();
    }

    /// Whether this life must not be the last: it was to die at what it would write next, and had
    /// nothing more to write.
    pub(crate) fn is_condemned(&self) -> bool {
        self.burning.lock().condemned
    }

    /// Another life.
    pub(crate) fn renew(&self) {
        self.burning.lock().condemned = false;
        self.dead.send_replace(false);
    }

    /// Whether it has come to the place.
    pub(crate) fn is_spent(&self) -> bool {
        self.burning.lock().cut.is_none()
    }

    /// Appends and calls so far.
    pub(crate) fn counted(&self) -> (usize, usize) {
        let burning = self.burning.lock();
        (burning.appends, burning.calls)
    }
}
