//! What a client holds of one resource, as far as its answers tell.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::resources::{Name, Need, Resource};

/// What a client was told of a name, or says that it has.
#[derive(Debug, Clone)]
pub(super) enum Told {
    /// This content.
    Content(Arc<Resource>),
    /// Something from before this stream that we do not have (any more).
    Older(Box<str>),
    /// That there is none.
    Gone,
}

impl Told {
    /// Whether it is `want`, the version that a client should have; `None` for no resource.
    fn is(&self, want: Option<&str>) -> bool {
        match self {
            Self::Content(resource) => want == Some(resource.version()),
            Self::Older(version) => want == Some(version),
            Self::Gone => want.is_none(),
        }
    }

    /// The version that it is; none if it is that there is none.
    fn version(&self) -> Option<&str> {
        match self {
            Self::Content(resource) => Some(resource.version()),
            Self::Older(version) => Some(version),
            Self::Gone => None,
        }
    }
}

/// How a client answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Not yet.
    Pending,
    /// By a NACK of a response that held nothing else: this content is bad.
    Refused,
    /// By a NACK of a response that held more: the fault may be another's.
    Suspect,
}

/// How far a client is from what it should have of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// It has it, is being told, or refused exactly this.
    None,
    /// It was never told.
    Open,
    /// It refused a response that held this and more; alone it may do.
    Suspect,
}

/// What a client holds of one name. There is one for each name of each stream, and nearly all say
/// only what was accepted: what is for a while lies apart.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// What it accepted last.
    acked: Option<Told>,
    /// What it was told after that and has not accepted.
    news: Option<Box<News>>,
}

/// What a client was told and has not accepted.
#[derive(Debug)]
struct News {
    told: Told,
    answer: Answer,
    /// What suspects of before named. A client that refuses a response may have taken some of it.
    doubtful: BTreeSet<Need>,
}

impl Entry {
    /// What a client says that it holds from before this stream.
    pub(super) const fn claimed(told: Told) -> Self {
        Self { acked: Some(told), news: None }
    }

    /// How far the client is from `want`, the version that it should have; `None` for no resource.
    pub(super) fn gap(&self, want: Option<&str>) -> Gap {
        match (&self.news, &self.acked) {
            (Some(news), _) if news.told.is(want) => match news.answer {
                Answer::Pending | Answer::Refused => Gap::None,
                Answer::Suspect => Gap::Suspect,
            },
            (None, Some(acked)) if acked.is(want) => Gap::None,
            _ => Gap::Open,
        }
    }

    /// True if the client accepted exactly this version, and was told nothing since.
    pub(super) fn has_accepted(&self, version: &str) -> bool {
        self.news.is_none() && self.acked.as_ref().is_some_and(|acked| acked.is(Some(version)))
    }

    /// Notes that the client is being told something.
    pub(super) fn tell(&mut self, told: Told) {
        let mut doubtful = BTreeSet::new();
        if let Some(before) = self.news.take() {
            doubtful = before.doubtful;
            if let (Told::Content(suspect), Answer::Suspect) = (before.told, before.answer) {
                doubtful.extend(suspect.needs().iter().cloned());
            }
        }
        self.news = Some(Box::new(News { told, answer: Answer::Pending, doubtful }));
    }

    /// Notes that the client accepted what it was told.
    pub(super) fn accept(&mut self) {
        if let Some(news) = self.news.take() {
            self.acked = Some(news.told);
        }
    }

    /// Notes that the client refused what it was told.
    pub(super) fn refuse(&mut self, answer: Answer) {
        if let Some(news) = &mut self.news {
            news.answer = answer;
        }
    }

    /// True if the client has yet to answer.
    pub(super) fn is_pending(&self) -> bool {
        self.news.as_ref().is_some_and(|news| news.answer == Answer::Pending)
    }

    /// True if the client accepted that there is none, and waits for no answer.
    pub(super) const fn is_gone(&self) -> bool {
        self.news.is_none() && matches!(self.acked, Some(Told::Gone))
    }

    /// True if the client refused what it was told last.
    pub(super) fn is_refused(&self) -> bool {
        self.news.as_ref().is_some_and(|news| news.answer != Answer::Pending)
    }

    /// The newest content that the client accepted, if we have it.
    pub(super) const fn accepted(&self) -> Option<&Arc<Resource>> {
        match &self.acked {
            Some(Told::Content(resource)) => Some(resource),
            _ => None,
        }
    }

    /// The version that the client was told last, or says that it has.
    pub(super) fn version(&self) -> Option<&str> {
        self.news.as_ref().map(|news| &news.told).or(self.acked.as_ref())?.version()
    }

    /// The version that the client accepted last, or says that it has.
    pub(super) fn accepted_version(&self) -> Option<&str> {
        self.acked.as_ref()?.version()
    }

    /// The newest content that the client was told, if we have it.
    pub(super) fn content(&self) -> Option<&Arc<Resource>> {
        match self.news.as_ref().map(|news| &news.told).or(self.acked.as_ref()) {
            Some(Told::Content(resource)) => Some(resource),
            _ => None,
        }
    }

    /// True if a resource that names this one may be sent: the client has some content of it, or
    /// refused it. A refusal is an answer: holding a route back for it would hold a rollback back.
    pub(super) fn is_answered(&self) -> bool {
        match &self.news {
            Some(news) if matches!(news.told, Told::Gone) => false,
            Some(news) if news.answer != Answer::Pending => true,
            _ => matches!(self.acked, Some(Told::Content(_) | Told::Older(_))),
        }
    }

    /// Whether the client may be acting on content that names `need`. Content that we do not know
    /// may name anything.
    pub(super) fn may_act_on(&self, need: &Need) -> bool {
        let names = |told: &Told| match told {
            Told::Content(resource) => resource.needs().contains(need),
            Told::Older(_) => true,
            Told::Gone => false,
        };
        self.acked.as_ref().is_some_and(names)
            || self
                .news
                .as_ref()
                .is_some_and(|news| names(&news.told) || news.doubtful.contains(need))
    }
}

/// The one response of a type that a client has not answered.
#[derive(Debug)]
pub(super) struct InFlight {
    /// Its nonce.
    pub(super) nonce: String,
    /// Its version.
    pub(super) version: Box<str>,
    /// The names that it told something new about.
    pub(super) names: Vec<Name>,
}
