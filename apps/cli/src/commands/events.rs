//! `fixpoint events`: what happened lately.

use std::process::ExitCode;

use anyhow::Result;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::Value;

use super::get::since;
use super::kind::Target;
use crate::client::Connection;
use crate::output::{self, Format, Tone};

/// Show what happened lately, newest last.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fixpoint events
  fixpoint events --for kustomization/apps
  fixpoint events -A -o json")]
pub struct Args {
    /// Only events about this object
    #[arg(long = "for", value_name = "KIND/NAME")]
    about: Option<String>,
    /// Look in all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the command.
pub async fn run(args: Args, connection: Connection) -> Result<ExitCode> {
    let client = connection.client().await?;
    let about = args.about.map(|text| Target::parse(&[text])).transpose()?;
    let api: Api<Event> = if args.all_namespaces {
        Api::all(client.kube.clone())
    } else {
        Api::namespaced(client.kube.clone(), &client.namespace)
    };
    let list = api.list(&ListParams::default()).await.map_err(|err| client.explain(err))?;
    let mut events =
        list.items.into_iter().map(serde_json::to_value).collect::<Result<Vec<Value>, _>>()?;
    events.retain(|event| {
        about.as_ref().is_none_or(|target| {
            event["involvedObject"]["kind"] == target.kind.name()
                && event["involvedObject"]["name"] == target.name.as_str()
        })
    });
    events.sort_by_key(|event| time(event).to_owned());
    if args.output != Format::Table {
        output::objects(args.output, &events)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = events.iter().map(row).collect();
    output::table(&["last seen", "type", "reason", "object", "message"], &rows);
    Ok(ExitCode::SUCCESS)
}

fn time(event: &Value) -> &str {
    event["lastTimestamp"].as_str().or(event["eventTime"].as_str()).unwrap_or_default()
}

fn row(event: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &event["involvedObject"];
    let kind = text(&event["type"]);
    let tone = if kind == "Warning" { Tone::Bad } else { Tone::Quiet };
    vec![
        since(time(event)),
        output::paint(&kind, tone),
        text(&event["reason"]),
        format!("{}/{}", text(&object["kind"]), text(&object["name"])),
        text(&event["message"]),
    ]
}
