//! `fixpoint build`: renders a folder, as a delivery of it would.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use fixpoint_base::Limits;
use fixpoint_source::{Tree, TreeBuilder};
use serde_json::Value;

use crate::output::{self, Format};
use crate::report::advice;

/// Render a folder of manifests or a kustomization, and print what comes out.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fixpoint build ./deploy/overlays/production
  fixpoint build . -o json
  fixpoint build ./huge --limits off")]
pub struct Args {
    /// The folder
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    output: Format,
    /// Whether the engine's limits bind
    #[arg(long, value_enum, default_value_t = Bounds::On)]
    limits: Bounds,
}

/// Whether the engine's limits bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Bounds {
    /// They bind, as they do in the engine.
    On,
    /// They do not.
    Off,
}

/// Runs the command.
pub fn run(args: Args) -> Result<ExitCode> {
    let limits = if args.limits == Bounds::On { Limits::default() } else { Limits::off() };
    let dir = args
        .dir
        .canonicalize()
        .with_context(|| format!("could not open folder {}", args.dir.display()))?;
    if !dir.is_dir() {
        return Err(advice(
            format!("{} is not a folder", args.dir.display()),
            "name the folder that holds the manifests or the kustomization",
        ));
    }
    let root = source_root(&dir);
    let tree = read_tree(&root, &limits)?;
    let path = dir.strip_prefix(&root).ok().and_then(Path::to_str).unwrap_or_default();
    let rendered = fixpoint_render::render(&tree, path, &Default::default(), &limits)?;
    print(args.output, &rendered.objects)?;
    Ok(ExitCode::SUCCESS)
}

fn print(format: Format, objects: &[Value]) -> Result<()> {
    match format {
        Format::Yaml | Format::Table => {
            let text = fixpoint_yaml::join(objects);
            if !text.is_empty() {
                output::line(text.trim_end_matches('\n'));
            }
            Ok(())
        }
        Format::Json => output::value(format, &Value::Array(objects.to_vec())),
        Format::Name => output::objects(format, objects),
    }
}

/// A kustomization may reach for bases beside its folder, as far up as the repository goes.
fn source_root(dir: &Path) -> PathBuf {
    dir.ancestors()
        .find(|folder| folder.join(".git").exists())
        .or_else(|| widest_base(dir))
        .unwrap_or(dir)
        .to_owned()
}

/// Outside a repository: as far up as the `..` of the kustomizations lead.
fn widest_base(dir: &Path) -> Option<&Path> {
    let names = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
    let mut root = dir;
    let mut queue = vec![dir.to_owned()];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(folder) = queue.pop() {
        if !seen.insert(folder.clone()) || seen.len() > 1000 {
            continue;
        }
        let Some(text) =
            names.iter().find_map(|name| std::fs::read_to_string(folder.join(name)).ok())
        else {
            continue;
        };
        for word in text.split([' ', '\n', '"', '\'', '=']).filter(|word| !word.is_empty()) {
            let Ok(base) = folder.join(word).canonicalize() else { continue };
            if !word.starts_with('.') && !base.is_dir() {
                continue;
            }
            let top = if base.is_dir() { base.as_path() } else { base.parent()? };
            while !top.starts_with(root) {
                root = root.parent()?;
            }
            if base.is_dir() {
                queue.push(base);
            }
        }
    }
    (root.components().count() > 1).then(|| dir.ancestors().find(|up| *up == root)).flatten()
}

fn read_tree(root: &Path, limits: &Limits) -> Result<Tree> {
    let mut builder = TreeBuilder::new(limits);
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .with_context(|| format!("could not read folder {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let kind = entry.file_type()?;
            let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) else {
                return Err(advice(
                    format!("path {} is not UTF-8", path.display()),
                    "rename the file",
                ));
            };
            if kind.is_dir() && skipped(&entry.file_name()) {
                continue;
            } else if kind.is_dir() {
                folders.push(path);
            } else if kind.is_symlink() {
                read_link(&mut builder, root, name, &path)?;
            } else if kind.is_file() {
                let size = entry.metadata()?.len();
                if size > limits.file_bytes {
                    // Too large to be a manifest; naming it in a kustomization is an error there.
                    continue;
                }
                let bytes = std::fs::read(&path)
                    .with_context(|| format!("could not read {}", path.display()))?;
                builder.file(name, bytes, false)?;
            }
        }
    }
    Ok(builder.build()?)
}

/// A link that leads out of the tree or nowhere is only an error where something names it.
fn read_link(builder: &mut TreeBuilder<'_>, root: &Path, name: &str, path: &Path) -> Result<()> {
    if let Ok(target) = path.canonicalize()
        && target.starts_with(root)
        && let Ok(link) = std::fs::read_link(path)
        && link.is_relative()
        && let Some(link) = link.to_str()
    {
        builder.link(name, link)?;
    }
    Ok(())
}

fn skipped(name: &std::ffi::OsStr) -> bool {
    name == ".git" || name == "node_modules" || name == "target"
}
