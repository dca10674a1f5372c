//! `fixpoint get`: what there is and how it is doing.

use std::process::ExitCode;

use anyhow::Result;
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::Value;

use super::kind::Kind;
use crate::client::{Client, Connection};
use crate::output::{self, Format, Tone};
use crate::report::{CHANGES, advice};

/// List sources and deliveries with their state.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fixpoint get all
  fixpoint get sources -A
  fixpoint get kustomizations -o yaml
  fixpoint get delivery/apps -o json

Exits 2 when something listed is held.")]
pub struct Args {
    /// sources, deliveries, all, or KIND/NAME (Flux's spellings work too)
    #[arg(value_name = "WHAT", default_value = "all", num_args = 1..=3)]
    what: Vec<String>,
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
    let (kinds, name) = select(&args.what)?;
    let mut found = Vec::new();
    for kind in kinds {
        found.extend(list(&client, kind, name.as_deref(), args.all_namespaces).await?);
    }
    if args.output == Format::Table {
        print(&found, args.all_namespaces, &client.namespace);
    } else {
        output::objects(args.output, &found)?;
    }
    let held = found.iter().any(is_held);
    Ok(if held { ExitCode::from(CHANGES) } else { ExitCode::SUCCESS })
}

fn select(words: &[String]) -> Result<(Vec<Kind>, Option<String>)> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(match words.as_slice() {
        ["all"] => (Kind::ALL.to_vec(), None),
        ["sources" | "source"] | ["sources" | "source", "all" | "git"] => {
            (vec![Kind::GitRepository], None)
        }
        ["deliveries"] => (vec![Kind::Kustomization], None),
        ["source" | "sources", "git", name] => {
            (vec![Kind::GitRepository], Some((*name).to_owned()))
        }
        [one] => match one.split_once('/') {
            Some((kind, name)) => (vec![kind.parse()?], Some(name.to_owned())),
            None => (vec![one.parse()?], None),
        },
        [kind, name] => (vec![kind.parse()?], Some((*name).to_owned())),
        _ => {
            return Err(advice(
                format!("{:?} is not something to get", words.join(" ")),
                "use sources, deliveries, all, or KIND/NAME",
            ));
        }
    })
}

async fn list(
    client: &Client,
    kind: Kind,
    name: Option<&str>,
    all_namespaces: bool,
) -> Result<Vec<Value>> {
    if let Some(name) = name {
        let object = kind.api(client, &client.namespace).get(name).await;
        return Ok(vec![serde_json::to_value(object.map_err(|err| client.explain(err))?)?]);
    }
    let api: Api<DynamicObject> = if all_namespaces {
        Api::all_with(client.kube.clone(), &kind.resource())
    } else {
        kind.api(client, &client.namespace)
    };
    let list = api.list(&ListParams::default()).await.map_err(|err| client.explain(err))?;
    let mut objects = Vec::with_capacity(list.items.len());
    for item in list.items {
        let mut object = serde_json::to_value(item)?;
        object["apiVersion"] = kind.resource().api_version.into();
        object["kind"] = kind.name().into();
        objects.push(object);
    }
    Ok(objects)
}

fn print(objects: &[Value], all_namespaces: bool, namespace: &str) {
    if objects.is_empty() {
        let place = if all_namespaces {
            "anywhere".to_owned()
        } else {
            format!("in namespace {namespace}")
        };
        anstream::eprintln!("nothing is declared {place}");
        return;
    }
    let mut heads = vec!["kind", "name", "ready", "revision", "age", "status"];
    if all_namespaces {
        heads.insert(0, "namespace");
    }
    let rows: Vec<Vec<String>> = objects
        .iter()
        .map(|object| {
            let mut row = vec![
                object["kind"].as_str().unwrap_or_default().to_owned(),
                fixpoint_base::object::name(object).unwrap_or_default().to_owned(),
                ready_word(object),
                revision(object),
                age(object),
                ready(object)["message"].as_str().unwrap_or("not looked at yet").to_owned(),
            ];
            if all_namespaces {
                row.insert(0, fixpoint_base::object::namespace(object).to_owned());
            }
            row
        })
        .collect();
    output::table(&heads, &rows);
}

/// The Ready condition, or null.
pub fn ready(object: &Value) -> &Value {
    condition(object, "Ready")
}

/// One condition, or null.
pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    object["status"]["conditions"]
        .as_array()
        .and_then(|all| all.iter().find(|condition| condition["type"] == kind))
        .unwrap_or(&Value::Null)
}

/// Whether somebody must decide before it goes on.
pub fn is_held(object: &Value) -> bool {
    condition(object, "GitSemantics")["status"] == "False"
        || condition(object, "DeletionGuard")["status"] == "True"
}

fn ready_word(object: &Value) -> String {
    if object["spec"]["suspend"] == true {
        return output::paint("Suspended", Tone::Quiet);
    }
    if is_held(object) {
        return output::paint("Held", Tone::Bad);
    }
    match ready(object)["status"].as_str() {
        Some("True") => output::paint("True", Tone::Good),
        Some("False") => output::paint("False", Tone::Bad),
        _ => output::paint("Unknown", Tone::Waiting),
    }
}

fn revision(object: &Value) -> String {
    let revision = object["status"]["artifact"]["revision"]
        .as_str()
        .or(object["status"]["lastAppliedRevision"].as_str())
        .unwrap_or("-");
    shorten(revision)
}

/// `main@sha1:77c0ffe…` with the id cut to what a person can compare.
pub fn shorten(revision: &str) -> String {
    match revision.split_once("sha1:") {
        Some((name, id)) => format!("{name}sha1:{}", id.chars().take(8).collect::<String>()),
        None => revision.to_owned(),
    }
}

fn age(object: &Value) -> String {
    object["metadata"]["creationTimestamp"].as_str().map_or_else(|| "-".to_owned(), since)
}

/// How long ago an RFC 3339 time was, as kubectl prints it.
pub fn since(time: &str) -> String {
    let Ok(then) = time.parse::<jiff::Timestamp>() else { return "-".to_owned() };
    let seconds = jiff::Timestamp::now().duration_since(then).as_secs().max(0);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
