//! Which cluster an address is on record for.
//!
//! In: a cluster that answers at an address. Out: whether it is the one on record, durably so before
//! anything is delivered there. Never here: letting another cluster in that nobody answered for.

use fixpoint_driver_store::LedgerError;
use fixpoint_ledger::entry::{Ack, Body, Meet};
use fixpoint_ledger::{Meeting, Stranger};
use jiff::Timestamp;

use super::{Acknowledged, ENGINE, Record, shorten};

/// A cluster that answers at an address.
#[derive(Debug, Clone)]
pub struct Answering<'a> {
    /// Whose kubeconfig led there, such as `KubeConfig/shop/prod`.
    pub subject: &'a str,
    /// URL of the server.
    pub server: &'a str,
    /// What the cluster says it is.
    pub cluster: &'a str,
    /// Who answered for what.
    pub ack: Option<Acknowledged>,
    /// When.
    pub now: Timestamp,
}

impl Record {
    /// Says whether a cluster that answers at an address is the one on record. The first is put on
    /// record; another one is, too, but nothing may be delivered there until somebody answers.
    ///
    /// # Errors
    /// When an entry cannot be made durable.
    pub async fn meet(&self, answering: Answering<'_>) -> Result<Option<Stranger>, LedgerError> {
        let Answering { subject, server, cluster, ack, now } = answering;
        let _one_at_a_time = self.meeting.lock().await;
        let classify = || self.state().replay.pins.classify(subject, server, cluster);
        let meet = Meet {
            server: server.to_owned(),
            cluster: cluster.to_owned(),
            before: None,
            id: None,
            admitted: true,
            ack: None,
        };
        let (stranger, at) = match classify() {
            Meeting::Same => return Ok(None),
            Meeting::First => {
                self.append(subject, ENGINE, now, Body::Meet(meet)).await?;
                return Ok(None);
            }
            Meeting::Answered(stranger, at) => (stranger, Some(at)),
            Meeting::Other(stranger) => {
                let held = self.hold(subject, &meet, &stranger, now).await?;
                let answer = ack.filter(|ack| ack.id == stranger.id);
                let at = match answer {
                    Some(ack) => Some(self.answer(subject, ack, held, now).await?),
                    None => None,
                };
                (stranger, at)
            }
        };
        let Some(at) = at else { return Ok(Some(stranger)) };
        let Stranger { before, id } = stranger;
        let meet = Meet { before: Some(before), id: Some(id), ack: Some(at), ..meet };
        self.append(subject, ENGINE, now, Body::Meet(meet)).await?;
        Ok(None)
    }

    /// Puts on record, once, that another cluster is there and not let in.
    async fn hold(
        &self,
        subject: &str,
        meet: &Meet,
        stranger: &Stranger,
        now: Timestamp,
    ) -> Result<u64, LedgerError> {
        if let Some(index) = self.state().replay.pins.held(subject, &stranger.id) {
            return Ok(index);
        }
        let Stranger { before, id } = stranger.clone();
        let held =
            Meet { before: Some(before), id: Some(id), admitted: false, ack: None, ..meet.clone() };
        self.append(subject, ENGINE, now, Body::Meet(held)).await
    }

    async fn answer(
        &self,
        subject: &str,
        ack: Acknowledged,
        held: u64,
        now: Timestamp,
    ) -> Result<u64, LedgerError> {
        let Acknowledged { id, by, reason } = ack;
        let body = Body::Ack(Ack { id, violation: held, reason: shorten(reason) });
        self.append(subject, &by, now, body).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fixpoint_driver_store::Ledger;

    use super::*;

    const SUBJECT: &str = "KubeConfig/shop/prod";

    fn answering(cluster: &str, ack: Option<&str>) -> Answering<'static> {
        let ack = ack.map(|id| Acknowledged {
            id: id.to_owned(),
            by: "ada".to_owned(),
            reason: "built anew".to_owned(),
        });
        Answering {
            subject: SUBJECT,
            server: "https://prod.example",
            cluster: if cluster == "a" { "a" } else { "b" },
            ack,
            now: Timestamp::UNIX_EPOCH,
        }
    }

    fn open() -> (Ledger, Record) {
        let ledger = Ledger::in_memory([1; 32]);
        let record = Record::open(ledger.clone()).unwrap();
        (ledger, record)
    }

    /// The entries about the kubeconfig, in words.
    fn entries(ledger: &Ledger) -> Vec<String> {
        let found = ledger.subject(SUBJECT, 100).unwrap();
        let told = found.into_iter().map(|found| match found.entry.body {
            Body::Meet(meet) => {
                let fate = if meet.admitted { "on record" } else { "held" };
                format!("{} {fate}", meet.cluster)
            }
            body => format!("{} by {}", body.kind(), found.entry.actor),
        });
        told.collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn deliveries_that_meet_a_cluster_at_once_pin_it_once() {
        let (ledger, record) = open();
        let record = Arc::new(record);
        let meetings = (0..50).map(|_| {
            let record = record.clone();
            tokio::spawn(async move { record.meet(answering("a", None)).await.unwrap() })
        });
        for met in futures::future::join_all(meetings.collect::<Vec<_>>()).await {
            assert_eq!(met.unwrap(), None);
        }
        assert_eq!(entries(&ledger), ["a on record"]);
    }

    #[tokio::test]
    async fn another_cluster_is_held_once_and_let_in_by_its_own_acknowledgement() {
        let (ledger, record) = open();
        assert_eq!(record.meet(answering("a", None)).await.unwrap(), None);
        let stranger = record.meet(answering("b", None)).await.unwrap().unwrap();
        let again = record.meet(answering("b", Some("of something else"))).await.unwrap();
        assert_eq!(again, Some(stranger.clone()));
        assert_eq!(record.meet(answering("a", None)).await.unwrap(), None, "the first came back");
        let met = record.meet(answering("b", Some(&stranger.id))).await.unwrap();
        assert_eq!(met, None);
        let told = ["a on record", "b held", "ack by ada", "b on record"];
        assert_eq!(entries(&ledger), told);
        assert!(ledger.verify().await.unwrap().problems.is_empty());

        // What was put on record is known after a restart.
        let record = Record::open(ledger.clone()).unwrap();
        assert_eq!(record.meet(answering("b", None)).await.unwrap(), None);
        assert!(record.meet(answering("a", Some(&stranger.id))).await.unwrap().is_some());
    }
}
