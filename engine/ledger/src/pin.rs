//! Which cluster an address leads to, and whether it still is that one.
//!
//! In: the meetings on record, and the cluster that answers now. Out: whether it is new, the same
//! or another one. A cluster is what the uid of its namespace kube-system says; an address, a
//! certificate or a name can come to lead elsewhere.

use std::collections::BTreeMap;

use fixpoint_base::Digest;

use crate::entry::{Entry, Meet};

/// The cluster that an address is on record for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The uid of its namespace kube-system.
    pub cluster: String,
    /// Index of the meeting that put it on record.
    pub index: u64,
}

/// What it means that a cluster answers at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meeting {
    /// No cluster is on record for the address.
    First,
    /// It is the one on record.
    Same,
    /// It is another one, and nobody has answered for that yet.
    Other(Stranger),
    /// It is another one, and somebody has: the index of the acknowledgement.
    Answered(Stranger, u64),
}

/// A cluster where another one was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// The cluster on record.
    pub before: String,
    /// What an acknowledgement refers to: this change and no other.
    pub id: String,
}

/// All meetings of one log.
#[derive(Debug, Clone, Default)]
pub struct Pins {
    /// By subject and server.
    pins: BTreeMap<(String, String), Pin>,
    /// Strangers on record that were not let in, by subject and id.
    held: BTreeMap<(String, String), u64>,
    /// Acknowledgements of them, by subject and id.
    answered: BTreeMap<(String, String), u64>,
}

impl Pins {
    /// Says what it means that a cluster answers at a server.
    pub fn classify(&self, subject: &str, server: &str, cluster: &str) -> Meeting {
        let Some(pin) = self.pins.get(&(subject.to_owned(), server.to_owned())) else {
            return Meeting::First;
        };
        if pin.cluster == cluster {
            return Meeting::Same;
        }
        let id = id(subject, server, pin, cluster);
        let answered = self.answered.get(&(subject.to_owned(), id.clone())).copied();
        let stranger = Stranger { before: pin.cluster.clone(), id };
        match answered {
            Some(ack) => Meeting::Answered(stranger, ack),
            None => Meeting::Other(stranger),
        }
    }

    /// Index of the entry that holds a stranger, where there is one.
    pub fn held(&self, subject: &str, id: &str) -> Option<u64> {
        self.held.get(&(subject.to_owned(), id.to_owned())).copied()
    }

    pub(crate) fn met(&mut self, index: u64, entry: &Entry, meet: &Meet) {
        let Meet { server, cluster, before: _, id, admitted, ack: _ } = meet;
        let subject = entry.subject.clone();
        if *admitted {
            let pin = Pin { cluster: cluster.clone(), index };
            self.pins.insert((subject, server.clone()), pin);
        } else if let Some(id) = id {
            self.held.insert((subject, id.clone()), index);
        }
    }

    /// Takes an acknowledgement where it is one of a stranger; says whether it was.
    pub(crate) fn answer(&mut self, index: u64, subject: &str, id: &str) -> bool {
        let key = (subject.to_owned(), id.to_owned());
        let ours = self.held.contains_key(&key);
        if ours {
            self.answered.insert(key, index);
        }
        ours
    }
}

/// Holds where the cluster before was put on record: the same change made again is another one.
fn id(subject: &str, server: &str, pin: &Pin, cluster: &str) -> String {
    let index = pin.index.to_string();
    let parts = [subject, server, &pin.cluster, &index, cluster];
    let digest = Digest::of_parts(parts.map(str::as_bytes)).to_string();
    let hex = digest.strip_prefix("sha256:").unwrap_or(&digest);
    hex.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Ack, Body, Draft};
    use crate::replay::Replay;

    const SUBJECT: &str = "KubeConfig/shop/prod";
    const SERVER: &str = "https://prod.example:6443";

    #[derive(Default)]
    struct Log {
        replay: Replay,
        next: u64,
    }

    impl Log {
        fn add(&mut self, body: Body) -> u64 {
            let draft = Draft {
                time: "2026-11-22T10:00:00Z".to_owned(),
                actor: "engine".to_owned(),
                subject: SUBJECT.to_owned(),
                body,
            };
            let index = self.next;
            self.next += 1;
            self.replay.entry(index, &draft.placed(None));
            index
        }

        fn meet(&mut self, cluster: &str, id: Option<&str>, admitted: bool) -> u64 {
            self.add(Body::Meet(Meet {
                server: SERVER.to_owned(),
                cluster: cluster.to_owned(),
                before: None,
                id: id.map(str::to_owned),
                admitted,
                ack: None,
            }))
        }

        fn classify(&self, cluster: &str) -> Meeting {
            self.replay.pins.classify(SUBJECT, SERVER, cluster)
        }

        fn stranger(&self, cluster: &str) -> Stranger {
            match self.classify(cluster) {
                Meeting::Other(stranger) => stranger,
                meeting => panic!("{meeting:?}"),
            }
        }
    }

    #[test]
    fn another_cluster_is_let_in_only_where_somebody_answered_for_it() {
        let mut log = Log::default();
        assert_eq!(log.classify("a"), Meeting::First);
        log.meet("a", None, true);
        assert_eq!(log.classify("a"), Meeting::Same);
        let stranger = log.stranger("b");
        assert_eq!(stranger.before, "a");
        let held = log.meet("b", Some(&stranger.id), false);
        assert_eq!(log.stranger("b"), stranger, "being seen lets nobody in");
        let ack = Ack { id: stranger.id.clone(), violation: held, reason: String::new() };
        let ack = log.add(Body::Ack(ack));
        assert_eq!(log.classify("b"), Meeting::Answered(stranger.clone(), ack));
        assert_eq!(log.stranger("c").before, "a", "the answer is for one cluster");
        log.meet("b", Some(&stranger.id), true);
        assert_eq!(log.classify("b"), Meeting::Same);
    }

    #[test]
    fn an_answer_holds_once() {
        let mut log = Log::default();
        log.meet("a", None, true);
        let first = log.stranger("b");
        let held = log.meet("b", Some(&first.id), false);
        log.add(Body::Ack(Ack { id: first.id.clone(), violation: held, reason: String::new() }));
        log.meet("b", Some(&first.id), true);
        let back = log.stranger("a");
        log.meet("a", Some(&back.id), true);
        assert_ne!(log.stranger("b").id, first.id);
    }

    #[test]
    fn another_server_is_another_address() {
        let mut log = Log::default();
        log.meet("a", None, true);
        let pins = &log.replay.pins;
        assert_eq!(pins.classify(SUBJECT, "https://other.example", "b"), Meeting::First);
        assert_eq!(pins.classify("KubeConfig/shop/other", SERVER, "b"), Meeting::First);
    }
}
