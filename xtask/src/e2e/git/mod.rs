//! Git as others make it: what the real `gpg` and `ssh-keygen` sign is believed, and a real `sshd`
//! and a real proxy lead to it.
//!
//! In: the program. Out: a step for each thing that only the real programs can show. It needs no
//! cluster.

mod signatures;
mod sshd;
mod transports;

use std::ffi::OsStr;
use std::path::Path;

use anyhow::Result;

use self::signatures::{Signed, Signers};
use super::process::Scratch;
use super::server::Server;
use super::{Report, Scope, program};
use crate::print;

/// What each source must come to: its name, what follows it, and what its condition says.
const CASES: &[Case] = &[
    Case { name: "pgp-head", mode: "HEAD", truth: "True", words: "verified signature of" },
    Case { name: "pgp-tag", mode: "Tag", truth: "True", words: "- tag 'v1.0.0' with key" },
    Case { name: "pgp-both", mode: "TagAndHEAD", truth: "True", words: "- commit '" },
    Case { name: "ssh-head", mode: "HEAD", truth: "True", words: "with key 'SHA256:" },
    Case { name: "ssh-tag", mode: "Tag", truth: "True", words: "- tag 'v1.0.0' with key" },
    Case { name: "ssh-both", mode: "TagAndHEAD", truth: "True", words: "- commit '" },
    Case { name: "pgp-stranger", mode: "HEAD", truth: "False", words: "not among the trusted" },
    Case { name: "ssh-stranger", mode: "HEAD", truth: "False", words: "not among the trusted" },
    Case { name: "nobody", mode: "HEAD", truth: "False", words: "it is not signed" },
];

/// One source that requires signatures.
struct Case {
    name: &'static str,
    mode: &'static str,
    truth: &'static str,
    words: &'static str,
}

/// Signs with the real programs, and asks the engine what it makes of that.
pub fn run(root: &Path, scope: Scope, report: &mut Report) -> Result<()> {
    judge_signatures(root, report)?;
    transports::run(root, scope, report)
}

fn judge_signatures(root: &Path, report: &mut Report) -> Result<()> {
    if let Some(why) = signatures::missing() {
        report.skip("signatures", why);
        return Ok(());
    }
    let (fixpoint, target) = program::build(root)?;
    let scratch = Scratch::new(&target, "git")?;
    let signers = Signers::new(scratch.path())?;
    let signed = Signed::new(&scratch.path().join("repositories"), &signers)?;
    let manifests = scratch.path().join("manifests.json");
    std::fs::write(&manifests, signed.manifests(CASES))?;
    let options: [&OsStr; 4] = [
        "--allow-file-sources".as_ref(),
        signed.folder().as_os_str(),
        "-f".as_ref(),
        manifests.as_os_str(),
    ];
    let server = Server::start(&fixpoint, scratch.path(), &options)?;
    let failed = report.failed;
    for case in CASES {
        let title = format!("a signature is judged: {} of {}", case.mode, case.name);
        report.take(&title, signatures::judged(&fixpoint, &server, case));
    }
    if report.failed > failed {
        print::note(&format!("the server said:\n{}", server.log()));
    }
    Ok(())
}
