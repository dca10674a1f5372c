//! Versions that have to be signed, from a commit to what is delivered.
//!
//! The signatures are made by the same libraries that check them; that the real `gpg` and
//! `ssh-keygen` are understood is for the suite `git` to show.

use fixpoint_fixture::Repo;
use serde_json::{Value, json};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{HashAlg, LineEnding, PrivateKey, SshSig};

use crate::harness::{Scene, condition, config_map, ready};

/// Somebody with an SSH key.
struct Signer(PrivateKey);

impl Signer {
    fn new(seed: u8) -> Self {
        let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&[seed; 32]));
        Self(PrivateKey::new(pair, "signer").expect("a key"))
    }

    fn public(&self) -> String {
        self.0.public_key().to_openssh().expect("a key")
    }

    fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    fn sign(&self, payload: &str) -> String {
        let signature = SshSig::sign(&self.0, "git", HashAlg::Sha512, payload.as_bytes());
        signature.and_then(|made| made.to_pem(LineEnding::LF)).expect("a signature")
    }

    /// Signs what is on the branch: its last commit is made anew with a signature.
    fn sign_head(&self, repo: &Repo) -> String {
        let object = format!("{}\n", repo.git(&["cat-file", "commit", "HEAD"]));
        let (headers, message) = object.split_once("\n\n").expect("it has a message");
        let folded = self.sign(&object).trim_end().replace('\n', "\n ");
        let signed = format!("{headers}\ngpgsig {folded}\n\n{message}");
        let id = repo.git_reading(&["hash-object", "-t", "commit", "-w", "--stdin"], &signed);
        repo.git(&["update-ref", "refs/heads/main", &id]);
        id
    }

    /// Makes a signed tag of what is on the branch, under a ref that need not be its own.
    fn sign_tag(&self, repo: &Repo, name: &str, at: &str) {
        let commit = repo.git(&["rev-parse", "HEAD"]);
        let payload = format!(
            "object {commit}\ntype commit\ntag {name}\n\
             tagger Ann Example <ann@example.org> 1700000000 +0000\n\nrelease\n"
        );
        let signed = format!("{payload}{}", self.sign(&payload));
        let id = repo.git_reading(&["hash-object", "-t", "tag", "-w", "--stdin"], &signed);
        repo.git(&["update-ref", &format!("refs/tags/{at}"), &id]);
    }
}

fn secret(scene: &Scene, signers: &[&Signer]) {
    let lines: Vec<String> = signers.iter().map(|signer| signer.public()).collect();
    scene.engine.api().apply(&format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: keys, namespace: default}}\n\
         stringData: {{team.sshpub: {:?}}}\n",
        lines.join("\n")
    ));
}

#[track_caller]
fn declare(scene: &Scene, spec: Value) {
    let patch = json!({ "spec": spec });
    scene.engine.api().merge("GitRepository", "shop", &patch).expect("it answers").granted();
}

fn verify(mode: &str) -> Value {
    json!({"mode": mode, "secretRef": {"name": "keys"}})
}

/// Waits until the signature of the source is believed, or not.
#[track_caller]
fn verified(scene: &Scene, truth: &str, words: &str) -> Value {
    let what = format!("be verified: {truth} {words}");
    scene.engine.api().wait("GitRepository", "shop", &what, |object| {
        let found = condition(object, "SourceVerified");
        found["status"] == truth
            && found["message"].as_str().unwrap_or_default().contains(words)
            && found["observedGeneration"] == object["metadata"]["generation"]
    })
}

/// The observations of the source in the ledger: commit, whether admitted, who signed it or why not.
fn observations(scene: &Scene) -> Vec<String> {
    let log = scene.home.run_for(0, &["ledger", "log", "-o", "json"]).json();
    let entries = log.as_array().cloned().unwrap_or_default();
    entries
        .iter()
        .map(|entry| entry.get("entry").unwrap_or(entry))
        .filter(|entry| {
            entry["kind"] == "observe" && entry["subject"] == "GitRepository/default/shop"
        })
        .map(|entry| {
            let signature = &entry["signature"];
            let commit = entry["position"]["commit"].as_str().unwrap_or("gone");
            format!(
                "{commit} {} {}{}",
                entry["admitted"], signature["keys"][0], signature["problem"]
            )
        })
        .collect()
}

#[test]
fn only_signed_commits_are_delivered() {
    let scene = Scene::new();
    let api = scene.engine.api();
    let (ann, eve) = (Signer::new(1), Signer::new(2));

    // Without the Secret nothing can be said; that is no verdict on the version.
    declare(&scene, json!({"verify": verify("HEAD")}));
    scene.refused("GitRepository", "shop", "Secret keys with the public keys does not exist");
    let source = api.get("GitRepository", "shop").unwrap();
    assert_eq!(condition(&source, "SourceVerified"), &Value::Null);
    assert_eq!(condition(&source, "Ready")["reason"], "VerificationError");
    assert_eq!(condition(&source, "FetchFailed"), &Value::Null);

    secret(&scene, &[&ann]);
    api.hurry("GitRepository", "shop");
    let source = verified(&scene, "False", "it is not signed");
    assert_eq!(condition(&source, "SourceVerified")["reason"], "InvalidCommitSignature");
    scene.last_good_stays();

    let signed = ann.sign_head(&scene.shop);
    let source = verified(&scene, "True", &ann.fingerprint());
    assert_eq!(
        condition(&source, "SourceVerified")["message"],
        format!("verified signature of\n\t- commit '{signed}' with key '{}'", ann.fingerprint())
    );
    // Signing made another commit: its history is judged as always.
    scene.refused("GitRepository", "shop", "was rewritten");
    scene.home.run_for(0, &["ack", "source/shop", "--reason", "it is signed now"]);
    scene.converges("shop", &signed);

    // Nobody's and somebody else's signature, each on record once.
    scene.shop.commit(&[("deploy/shop.yaml", &config_map("shop", "evil"))]);
    let by_nobody = scene.shop.head();
    verified(&scene, "False", "it is not signed");
    let by_eve = eve.sign_head(&scene.shop);
    verified(
        &scene,
        "False",
        &format!("key {}, which is not among the trusted", eve.fingerprint()),
    );
    api.hurry("GitRepository", "shop");
    scene.last_good_stays();
    scene.shop.commit(&[("deploy/shop.yaml", &config_map("shop", "good"))]);
    let good = ann.sign_head(&scene.shop);
    verified(&scene, "True", &good);
    let source = api.wait("GitRepository", "shop", "be ready", |object| ready(object) == "True");
    assert_eq!(source["status"]["sourceVerificationMode"], "HEAD");
    assert_eq!(condition(&source, "GitSemantics")["status"], "True");
    scene.converges("shop", &good);
    let seen = observations(&scene);
    for (commit, count) in [(&by_nobody, 1), (&by_eve, 1), (&good, 1)] {
        let found = seen.iter().filter(|line| line.starts_with(commit.as_str())).count();
        assert_eq!(found, count, "{commit} in {seen:#?}");
    }

    // A key that is no longer trusted takes its word back; what is delivered stays.
    secret(&scene, &[&eve]);
    api.hurry("GitRepository", "shop");
    verified(&scene, "False", "not among the trusted");
    scene.last_good_stays();
    declare(&scene, json!({"verify": null}));
    let source = api.wait("GitRepository", "shop", "be ready", |object| ready(object) == "True");
    assert_eq!(condition(&source, "SourceVerified"), &Value::Null);
    assert_eq!(source["status"].get("sourceVerificationMode"), None);
    let (status, _) = scene.engine.stop();
    assert!(status.success());
    let proven = scene.home.verify_offline();
    assert_eq!(proven.code, 0, "{proven:?}");
}

#[test]
fn tags_are_verified_as_what_they_are_found_as() {
    let scene = Scene::new();
    let ann = Signer::new(1);
    secret(&scene, &[&ann]);
    declare(&scene, json!({"verify": verify("Tag")}));
    let source = verified(&scene, "False", "if a tag reference is not specified");
    assert_eq!(condition(&source, "Stalled")["reason"], "InvalidVerificationMode");

    let follow = |tag: &str, mode: &str| {
        let spec = json!({"ref": {"branch": null, "tag": tag}, "verify": verify(mode)});
        declare(&scene, spec);
    };
    scene.shop.git(&["tag", "light"]);
    follow("light", "Tag");
    let source = verified(&scene, "False", "cannot verify signature of tag 'light'");
    assert_eq!(condition(&source, "SourceVerified")["reason"], "InvalidGitObject");

    ann.sign_tag(&scene.shop, "v1.0.0", "v1.0.0");
    ann.sign_tag(&scene.shop, "v1.0.0", "v6.6.6");
    follow("v6.6.6", "Tag");
    let source = verified(&scene, "False", "the tag object is of tag v1.0.0, not of tag v6.6.6");
    assert_eq!(condition(&source, "SourceVerified")["reason"], "InvalidTagSignature");
    scene.last_good_stays();

    follow("v1.0.0", "Tag");
    verified(&scene, "True", &format!("tag 'v1.0.0' with key '{}'", ann.fingerprint()));
    follow("v1.0.0", "TagAndHEAD");
    verified(&scene, "False", "it is not signed");
    let head = ann.sign_head(&scene.shop);
    ann.sign_tag(&scene.shop, "v1.0.1", "v1.0.1");
    follow("v1.0.1", "TagAndHEAD");
    let source = verified(&scene, "True", &head);
    assert_eq!(source["status"]["sourceVerificationMode"], "TagAndHEAD");
    scene.last_good_stays();
}
