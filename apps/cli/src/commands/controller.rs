//! `fixpoint controller`: the engine with a cluster as home.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use fixpoint_cluster::Access;
use tokio::signal::unix::{SignalKind, signal};

use super::up::{ignore_file_size_signal, log_to_stderr};
use crate::client::Connection;
use crate::controller::{Ended, Replica, Settings};
use crate::output;
use crate::report::advice;

/// Run the engine with a Kubernetes cluster as home: its objects live in that cluster.
///
/// Of several replicas one leads, by the Lease fixpoint-system/fixpoint; the others stand by and
/// say so. The leader writes the ledger in the data directory, which belongs to one cluster. Runs
/// until SIGTERM or Ctrl-C; then it finishes what it is doing, lets go of the lease and exits 0. A
/// leader that can no longer renew the lease changes nothing more and exits 1.
///
/// `fixpoint install` puts into the cluster what this needs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fixpoint controller --in-cluster --data-dir /data
  fixpoint controller --kubeconfig cluster.kubeconfig --data-dir ./state")]
pub struct Args {
    /// Use the ServiceAccount of the pod that this runs in
    #[arg(long, conflicts_with_all = ["kubeconfig", "context"])]
    in_cluster: bool,
    /// Where to serve /healthz, /readyz and /metrics, without TLS; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where to serve the engine's own API (ledger, plans, reasons), with TLS
    #[arg(long, default_value = "127.0.0.1:9443", value_name = "ADDRESS")]
    engine_listen: SocketAddr,
    /// Where others find the engine's own API [default: where it listens]
    #[arg(long, value_name = "IP|HOST:PORT")]
    engine_address: Option<String>,
    /// Let Git servers on this machine's loopback be sources; for tests on one machine
    #[arg(long)]
    allow_loopback_sources: bool,
}

/// Runs the command.
pub async fn run(args: Args, connection: Connection) -> Result<ExitCode> {
    log_to_stderr();
    crate::open_files::raise();
    ignore_file_size_signal()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut told = std::pin::pin!(async move {
        // Both arms are cancel-safe: signals are kept.
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    });
    let replica = Replica::connect(settings(args, &connection)?).await?;
    output::line(format!(
        "replica {} of cluster {}: health at http://{}",
        replica.name(),
        replica.cluster(),
        replica.address
    ));
    let cluster = replica.cluster().to_owned();
    let leads = replica.lead(|holder| output::line(format!("standing by: {holder} leads")));
    // Cancel-safe: a lease that was just acquired lapses.
    let mut leading = tokio::select! {
        leading = leads => leading?,
        () = &mut told => return Ok(ExitCode::SUCCESS),
    };
    output::line(format!(
        "ready: leading in cluster {cluster}, the engine's own API at https://{}",
        leading.address()
    ));
    // Both arms are cancel-safe.
    let ended = tokio::select! {
        ended = leading.ended() => Some(ended),
        () = &mut told => None,
    };
    match ended {
        None => {
            leading.stop().await;
            Ok(ExitCode::SUCCESS)
        }
        Some(Ended::Lost(lost)) => Err(advice(
            format!("this replica does not lead any more: {lost}"),
            "start it again; it stands by until the lease is free",
        )),
        Some(Ended::Failed) => {
            leading.stop().await;
            Ok(ExitCode::from(1))
        }
    }
}

/// Nothing is guessed: a controller changes what its kubeconfig leads to.
fn settings(args: Args, connection: &Connection) -> Result<Settings> {
    let Args { in_cluster, listen, engine_listen, engine_address, allow_loopback_sources } = args;
    let access = match (&connection.kubeconfig, in_cluster) {
        (Some(file), false) => {
            Access::Kubeconfig { file: file.clone(), context: connection.context.clone() }
        }
        (_, true) => Access::InCluster,
        (None, false) => {
            return Err(advice(
                "no cluster is named",
                "name a kubeconfig with --kubeconfig, or use --in-cluster in a pod",
            ));
        }
    };
    Ok(Settings {
        access,
        data_dir: connection.data_dir()?,
        listen,
        engine_listen,
        engine_address,
        allow_loopback_sources,
    })
}
