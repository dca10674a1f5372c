//! What the server counts, in the Prometheus text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::store::Store;

/// Upper bounds of the latency buckets in seconds: in-process reads take tens of microseconds,
/// durable writes a few milliseconds.
const BUCKETS: [f64; 10] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

#[derive(Debug, Default, Clone)]
struct Latency {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

type Key = (&'static str, String, u16);

#[derive(Debug, Default)]
struct Counts {
    requests: BTreeMap<Key, Latency>,
    watches: BTreeMap<String, u64>,
}

/// Counters of one server.
#[derive(Debug, Default, Clone)]
pub struct Metrics(Arc<Mutex<Counts>>);

/// One watch, counted until it is dropped.
#[derive(Debug)]
pub struct Watching(Metrics, String);

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(count) = self.0.lock().watches.get_mut(&self.1) {
            *count = count.saturating_sub(1);
        }
    }
}

impl Metrics {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Counts a request that was answered.
    pub fn request(&self, verb: &'static str, resource: &str, code: u16, took: Duration) {
        let seconds = took.as_secs_f64();
        let mut counts = self.lock();
        let latency = counts.requests.entry((verb, resource.to_owned(), code)).or_default();
        latency.count += 1;
        latency.sum += seconds;
        for (bucket, bound) in latency.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(seconds <= bound);
        }
    }

    /// Counts a watch for as long as the value lives.
    pub fn watching(&self, resource: &str) -> Watching {
        *self.lock().watches.entry(resource.to_owned()).or_default() += 1;
        Watching(self.clone(), resource.to_owned())
    }

    /// Writes everything down.
    pub fn text(&self, store: &Store) -> String {
        let mut out = String::new();
        self.write_requests(&mut out);
        self.write_watches(&mut out);
        write_store(&mut out, store);
        out
    }

    fn write_requests(&self, out: &mut String) {
        let requests = self.lock().requests.clone();
        header(out, "apiserver_request_total", "counter", "Requests that were answered.");
        for ((verb, resource, code), latency) in &requests {
            let labels = format!("verb=\"{verb}\",resource=\"{resource}\",code=\"{code}\"");
            line(out, "apiserver_request_total", &labels, latency.count);
        }
        let name = "apiserver_request_duration_seconds";
        header(out, name, "histogram", "How long answers took.");
        for ((verb, resource, code), latency) in &requests {
            let labels = format!("verb=\"{verb}\",resource=\"{resource}\",code=\"{code}\"");
            for (count, bound) in latency.buckets.iter().zip(BUCKETS) {
                line(out, &format!("{name}_bucket"), &format!("{labels},le=\"{bound}\""), count);
            }
            let bucket = format!("{name}_bucket");
            line(out, &bucket, &format!("{labels},le=\"+Inf\""), latency.count);
            line(out, &format!("{name}_sum"), &labels, latency.sum);
            line(out, &format!("{name}_count"), &labels, latency.count);
        }
    }

    fn write_watches(&self, out: &mut String) {
        let watches = self.lock().watches.clone();
        header(out, "apiserver_registered_watchers", "gauge", "Watches that are open.");
        for (resource, count) in watches {
            line(out, "apiserver_registered_watchers", &format!("resource=\"{resource}\""), count);
        }
    }
}

fn write_store(out: &mut String, store: &Store) {
    let log_bytes = store.log_bytes();
    let state = store.read();
    header(out, "apiserver_storage_objects", "gauge", "Objects that are stored.");
    let tables: BTreeMap<String, usize> = state
        .tables()
        .filter(|(_, count)| *count > 0)
        .map(|(resource, count)| {
            let dot = if resource.group.is_empty() { "" } else { "." };
            (format!("{}{dot}{}", resource.plural, resource.group), count)
        })
        .collect();
    for (resource, count) in tables {
        line(out, "apiserver_storage_objects", &format!("resource=\"{resource}\""), count);
    }
    header(out, "fixpoint_storage_object_bytes", "gauge", "Bytes of all objects.");
    line(out, "fixpoint_storage_object_bytes", "", state.bytes());
    header(out, "fixpoint_storage_log_bytes", "gauge", "Bytes of the log on disk.");
    line(out, "fixpoint_storage_log_bytes", "", log_bytes);
    header(out, "fixpoint_storage_revision", "counter", "Revision of the last change.");
    line(out, "fixpoint_storage_revision", "", state.revision());
    header(out, "fixpoint_storage_oldest_revision", "gauge", "Watches can resume from here.");
    line(out, "fixpoint_storage_oldest_revision", "", state.oldest());
}

fn header(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = match labels {
        "" => writeln!(out, "{name} {value}"),
        labels => writeln!(out, "{name}{{{labels}}} {value}"),
    };
}
