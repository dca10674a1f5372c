//! One file per command.

pub mod ack;
mod build;
mod controller;
mod events;
pub mod get;
mod install;
pub mod kind;
pub mod ledger;
mod plan;
mod quickstart;
mod reconcile;
mod suspend;
pub mod up;
mod version;
mod web;
mod why;

use std::process::ExitCode;

use anyhow::Result;

use crate::client::Connection;

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Quickstart(quickstart::Args),
    Up(up::Args),
    Controller(controller::Args),
    Install(install::Args),
    Get(get::Args),
    Reconcile(reconcile::Args),
    Plan(plan::Args),
    Build(build::Args),
    Events(events::Args),
    Suspend(suspend::Args),
    Resume(suspend::ResumeArgs),
    Why(why::Args),
    Ack(ack::Args),
    Ledger(ledger::Args),
    Web(web::Args),
    Version(version::Args),
}

/// Runs a command.
pub async fn run(command: Command, connection: Connection) -> Result<ExitCode> {
    match command {
        Command::Quickstart(args) => quickstart::run(args, connection).await,
        Command::Up(args) => up::run(args, connection).await,
        Command::Controller(args) => controller::run(args, connection).await,
        Command::Install(args) => install::run(args, connection).await,
        Command::Get(args) => get::run(args, connection).await,
        Command::Reconcile(args) => reconcile::run(args, connection).await,
        Command::Plan(args) => plan::run(args, connection).await,
        Command::Build(args) => build::run(args),
        Command::Events(args) => events::run(args, connection).await,
        Command::Suspend(args) => suspend::suspend(args, connection).await,
        Command::Resume(args) => suspend::resume(args, connection).await,
        Command::Why(args) => why::run(args, connection).await,
        Command::Ack(args) => ack::run(args, connection).await,
        Command::Ledger(args) => ledger::run(args, connection).await,
        Command::Web(args) => web::run(args, connection).await,
        Command::Version(args) => version::run(args, connection).await,
    }
}
