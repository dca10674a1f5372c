//! Commits and tags signed by keys that are made here, and what spoils them.

use pgp::composed::{
    ArmorOptions, DetachedSignature, KeyType, SecretKeyParamsBuilder, SignedPublicKey,
    SignedSecretKey, SubkeyParamsBuilder,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::types::{Duration, KeyDetails as _, Password, Tag, Timestamp};
use rand_08::SeedableRng as _;
use rand_08::rngs::StdRng;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{HashAlg, LineEnding, PrivateKey, SshSig};

use super::*;

const NAME: &str = "Ann Example <ann@example.org>";
const COMMIT: &str = "3f2a91c0000000000000000000000000000000aa";
/// Keys are made before signatures, by a year.
const YEAR: Seconds = 365 * 24 * 60 * 60;

fn now() -> Seconds {
    Seconds::from(Timestamp::now().as_secs())
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

struct Made {
    secret: SignedSecretKey,
    public: SignedPublicKey,
}

impl Made {
    /// A key as `gpg` makes it today.
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut SecretKeyParamsBuilder)) -> Self {
        Self::from_seed(7, change)
    }

    fn from_seed(seed: u64, change: impl FnOnce(&mut SecretKeyParamsBuilder)) -> Self {
        let mut params = SecretKeyParamsBuilder::default();
        let born = Timestamp::from_secs(u32::try_from(now() - YEAR).unwrap());
        params
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .can_sign(true)
            .created_at(born)
            .primary_user_id(NAME.to_owned());
        change(&mut params);
        let rng = StdRng::seed_from_u64(seed);
        let secret = params.build().unwrap().generate(rng).unwrap();
        Self { public: SignedPublicKey::from(secret.clone()), secret }
    }

    /// The key with another last word about itself.
    fn rebound(mut self, hash: HashAlgorithm, parts: Vec<SubpacketData>) -> Self {
        let primary = &self.secret.primary_key;
        let mut config = config(SignatureType::CertPositive, primary, hash);
        config
            .hashed_subpackets
            .extend(parts.into_iter().map(|part| Subpacket::regular(part).unwrap()));
        let user = &mut self.public.details.users[0];
        let signature = config
            .sign_certification(
                primary,
                primary.public_key(),
                &Password::empty(),
                Tag::UserId,
                &user.id,
            )
            .unwrap();
        user.signatures = vec![signature];
        self
    }

    fn revoked(mut self) -> Self {
        let primary = &self.secret.primary_key;
        let config = config(SignatureType::KeyRevocation, primary, HashAlgorithm::Sha256);
        let signature = config.sign_key(primary, &Password::empty(), primary.public_key()).unwrap();
        self.public.details.revocation_signatures.push(signature);
        self
    }

    fn armored(&self) -> String {
        self.public.to_armored_string(ArmorOptions::default()).unwrap()
    }

    fn keys(&self) -> Keys {
        Keys::read([("ann.asc", self.armored().as_bytes())]).unwrap()
    }

    fn id(&self) -> String {
        self.public.primary_key.legacy_key_id().to_string().to_uppercase()
    }

    fn sign(&self, payload: &[u8]) -> String {
        self.sign_with(HashAlgorithm::Sha256, payload)
    }

    fn sign_with(&self, hash: HashAlgorithm, payload: &[u8]) -> String {
        let key = &self.secret.primary_key;
        DetachedSignature::sign_binary_data(rng(), key, &Password::empty(), hash, payload)
            .unwrap()
            .to_armored_string(ArmorOptions::default())
            .unwrap()
    }
}

fn config(
    kind: SignatureType,
    key: &pgp::packet::SecretKey,
    hash: HashAlgorithm,
) -> SignatureConfig {
    let mut config = SignatureConfig::v4(kind, key.algorithm(), hash);
    config.hashed_subpackets = [
        SubpacketData::SignatureCreationTime(Timestamp::now()),
        SubpacketData::IssuerFingerprint(key.fingerprint()),
    ]
    .into_iter()
    .map(|part| Subpacket::regular(part).unwrap())
    .collect();
    config
}

fn flags(sign: bool) -> SubpacketData {
    let mut flags = pgp::packet::KeyFlags::default();
    flags.set_sign(sign);
    flags.set_certify(true);
    SubpacketData::KeyFlags(flags)
}

const HEAD: &str = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\
    author Ann <ann@example.org> 1700000000 +0000\n\
    committer Ann <ann@example.org> 1700000000 +0000\n";
const MESSAGE: &str = "\nfirst\n\nmore\n";

/// A commit with a signature, as Git writes it.
fn commit(signature: &str) -> Vec<u8> {
    let folded = signature.trim_end().replace('\n', "\n ");
    format!("{HEAD}gpgsig {folded}\n{MESSAGE}").into_bytes()
}

fn payload() -> Vec<u8> {
    format!("{HEAD}{MESSAGE}").into_bytes()
}

fn tag_payload(name: &str) -> String {
    format!(
        "object {COMMIT}\ntype commit\ntag {name}\n\
         tagger Ann <ann@example.org> 1700000000 +0000\n\nrelease\n"
    )
}

fn told(result: Result<Signer, SignatureProblem>) -> String {
    match result {
        Ok(signer) => format!("by {}", signer.key),
        Err(problem) => problem.to_string(),
    }
}

fn commit_told(keys: &Keys, object: &[u8]) -> String {
    told(verify_commit(keys, object, now()))
}

#[test]
fn a_commit_and_a_tag_of_a_trusted_key() {
    let ann = Made::new();
    let keys = ann.keys();
    let signed = commit(&ann.sign(&payload()));
    assert_eq!(commit_told(&keys, &signed), format!("by {}", ann.id()));
    let tag = tag_payload("v1.0");
    let tag = format!("{tag}{}", ann.sign(tag.as_bytes()));
    let verify = |name, commit| told(verify_tag(&keys, tag.as_bytes(), name, commit, now()));
    assert_eq!(verify("v1.0", COMMIT), format!("by {}", ann.id()));
    assert_eq!(verify("v2.0", COMMIT), "the tag object is of tag v1.0, not of tag v2.0");
    let other = "00000000000000000000000000000000000000bb";
    assert_eq!(
        verify("v1.0", other),
        format!("the tag object is of commit {COMMIT}, not of commit {other}")
    );
}

#[test]
fn any_change_of_any_byte_is_noticed() {
    let ann = Made::new();
    let keys = ann.keys();
    let signature = ann.sign(&payload());
    let signed = commit(&signature);
    let start = HEAD.len();
    let end = signed.len() - MESSAGE.len();
    for at in (0..start).chain(end..signed.len()) {
        let mut other = signed.clone();
        other[at] ^= 1;
        assert!(verify_commit(&keys, &other, now()).is_err(), "byte {at}");
    }
    let mut longer = signed.clone();
    longer.extend_from_slice(b"x");
    assert!(commit_told(&keys, &longer).contains("is not of this content"));
}

#[test]
fn unsigned_untrusted_and_elsewhere() {
    let ann = Made::new();
    let bob = Made::from_seed(8, |_| {});
    assert_eq!(commit_told(&ann.keys(), &payload()), "it is not signed");
    let found = commit_told(&ann.keys(), &commit(&bob.sign(&payload())));
    assert!(found.ends_with("which is not among the trusted ones"), "{found}");
    let tag = tag_payload("v1");
    assert_eq!(
        told(verify_tag(&ann.keys(), tag.as_bytes(), "v1", COMMIT, now())),
        "it is not signed"
    );
    // A signature of the same key over something else.
    let found = commit_told(&ann.keys(), &commit(&ann.sign(b"something else")));
    assert_eq!(found, format!("the signature of key {} is not of this content", ann.id()));
}

#[test]
fn weak_signatures_do_not_count() {
    // Of the kinds of keys only this one can still be made to use SHA-1.
    let ann = Made::with(|params| {
        params.key_type(KeyType::Rsa(2048));
    });
    let weak = ann.sign_with(HashAlgorithm::Sha1, &payload());
    assert_eq!(
        commit_told(&ann.keys(), &commit(&weak)),
        "the signature is not accepted: it uses a weak hash"
    );
    let bound = ann.rebound(HashAlgorithm::Sha1, vec![flags(true)]);
    let found = commit_told(&bound.keys(), &commit(&bound.sign(&payload())));
    assert!(found.ends_with("it is bound by signatures with a weak hash only"), "{found}");
}

#[test]
fn keys_that_must_not_be_used() {
    let check = |key: &Made, at: Seconds, expected: &str| {
        let found = told(verify_commit(&key.keys(), &commit(&key.sign(&payload())), at));
        let expected = match expected {
            "" => format!("by {}", key.id()),
            reason => format!("key {} cannot be believed: {reason}", key.id()),
        };
        assert_eq!(found, expected);
    };
    check(&Made::new().revoked(), now(), "it is revoked");
    let no_sign = Made::new().rebound(HashAlgorithm::Sha256, vec![flags(false)]);
    check(&no_sign, now(), "it is not meant to sign");
    // A year and a day after it was made, so tomorrow.
    let day = 24 * 60 * 60;
    let lasts = Duration::from_secs(u32::try_from(YEAR + day).unwrap());
    let parts = || vec![flags(true), SubpacketData::KeyExpirationTime(lasts)];
    let brief = || Made::new().rebound(HashAlgorithm::Sha256, parts());
    check(&brief(), now(), "");
    // Also for what it signed while it lived.
    check(&brief(), now() + 2 * day, "it has expired");
    let dead = Duration::from_secs(u32::try_from(YEAR - day).unwrap());
    let parts = vec![flags(true), SubpacketData::KeyExpirationTime(dead)];
    check(&Made::new().rebound(HashAlgorithm::Sha256, parts), now(), "it has expired");
    let young = Made::with(|params| {
        params.created_at(Timestamp::from_secs(u32::try_from(now() + 60).unwrap()));
    });
    check(&young, now(), "it is younger than what it signed");
}

#[test]
fn a_subkey_may_sign_where_it_is_meant_to() {
    let with_sub = |signs: bool| {
        Made::with(|params| {
            let mut sub = SubkeyParamsBuilder::default();
            sub.key_type(KeyType::Ed25519Legacy).can_sign(signs).can_authenticate(!signs);
            sub.created_at(Timestamp::from_secs(u32::try_from(now() - YEAR).unwrap()));
            params.subkeys(vec![sub.build().unwrap()]);
        })
    };
    let sign = |key: &Made| {
        let sub = &key.secret.secret_subkeys[0].key;
        let (empty, hash) = (Password::empty(), HashAlgorithm::Sha256);
        DetachedSignature::sign_binary_data(rng(), sub, &empty, hash, &payload()[..])
            .unwrap()
            .to_armored_string(ArmorOptions::default())
            .unwrap()
    };
    let key = with_sub(true);
    assert_eq!(commit_told(&key.keys(), &commit(&sign(&key))), format!("by {}", key.id()));
    let mut torn = with_sub(true);
    torn.public.public_subkeys[0].signatures.clear();
    // Without a binding a subkey is nobody's: it is not even read.
    let found = commit_told(&torn.keys(), &commit(&sign(&torn)));
    assert!(found.contains("not among the trusted ones"), "{found}");
    let key = with_sub(false);
    let found = commit_told(&key.keys(), &commit(&sign(&key)));
    assert!(found.ends_with("it is not meant to sign"), "{found}");
    // A subkey that another key claims.
    let (mut thief, victim) = (Made::from_seed(8, |_| {}), with_sub(true));
    thief.public.public_subkeys = victim.public.public_subkeys.clone();
    let found = commit_told(&thief.keys(), &commit(&sign(&victim)));
    assert!(found.contains("cannot be believed"), "{found}");
}

#[test]
fn objects_that_can_be_read_in_two_ways_are_refused() {
    let ann = Made::new();
    let keys = ann.keys();
    let signature = ann.sign(&payload());
    let signed = String::from_utf8(commit(&signature)).unwrap();
    let folded = signature.trim_end().replace('\n', "\n ");
    let headers = "the object is malformed: its headers are not those of a commit";
    for (object, expected) in [
        (
            signed.replacen("gpgsig ", &format!("gpgsig {folded}\ngpgsig "), 1),
            "the object is malformed: it has more than one signature",
        ),
        (signed.replacen("author ", "tree 1\nauthor ", 1), headers),
        (signed.replacen("author ", "author x\nauthor ", 1), headers),
        (signed.replacen("gpgsig ", "parent 1\ngpgsig ", 1), headers),
        (signed.replacen("tree ", "treE ", 1), headers),
        (
            signed.replacen("author ", "author\0", 1),
            "the object is malformed: a header of it is none",
        ),
        (HEAD.trim_end().to_owned(), "the object is malformed: a header of it does not end"),
        (
            signed.replacen("gpgsig ", "gpgsig-sha256 ", 1),
            "the signature is not accepted: it is of an object with a SHA-256 id",
        ),
        (
            signed.replace("PGP SIGNATURE", "SIGNED MESSAGE"),
            "the signature is not accepted: it is an X.509 signature",
        ),
        (
            signed.replace("BEGIN PGP", "BEGIN PGQ"),
            "the signature is not accepted: it is neither a PGP nor an SSH signature",
        ),
    ] {
        assert_eq!(commit_told(&keys, object.as_bytes()), expected);
    }
    // Two signatures in one, and one that says nothing.
    let twice = format!("{signature}{signature}");
    assert_eq!(
        commit_told(&keys, &commit(&twice)),
        "the signature cannot be read: it is more than one"
    );
    let empty = "-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n";
    assert!(commit_told(&keys, &commit(empty)).starts_with("the signature cannot be read"));

    let tag = tag_payload("v1");
    let tag = format!("{tag}{0}{0}", ann.sign(tag.as_bytes()));
    let found = told(verify_tag(&keys, tag.as_bytes(), "v1", COMMIT, now()));
    assert_eq!(found, "the object is malformed: it has more than one signature");
    let nested = tag_payload("v1").replace("type commit", "type tag");
    let found = told(verify_tag(&keys, nested.as_bytes(), "v1", COMMIT, now()));
    assert_eq!(found, "the object is malformed: it is a tag of something else than a commit");
}

fn ssh_key(seed: u8) -> PrivateKey {
    let pair = Ed25519Keypair::from_seed(&[seed; 32]);
    PrivateKey::new(KeypairData::Ed25519(pair), "ann").unwrap()
}

fn ssh_sign(key: &PrivateKey, namespace: &str, payload: &[u8]) -> String {
    SshSig::sign(key, namespace, HashAlg::Sha512, payload).unwrap().to_pem(LineEnding::LF).unwrap()
}

#[test]
fn ssh_signatures_count_for_git_alone() {
    let (ann, bob) = (ssh_key(1), ssh_key(2));
    let line = ann.public_key().to_openssh().unwrap();
    let file = format!("# Ann\n{line}\n");
    let keys = Keys::read([("ann.sshpub", file.as_bytes())]).unwrap();
    let fingerprint = ann.fingerprint(HashAlg::Sha256).to_string();
    let told = |signature: &str| commit_told(&keys, &commit(signature));
    assert_eq!(told(&ssh_sign(&ann, "git", &payload())), format!("by {fingerprint}"));
    assert_eq!(
        told(&ssh_sign(&ann, "file", &payload())),
        "the signature is not accepted: it is made for something else than Git"
    );
    assert_eq!(
        told(&ssh_sign(&ann, "git", b"other")),
        format!("the signature of key {fingerprint} is not of this content")
    );
    assert!(told(&ssh_sign(&bob, "git", &payload())).contains("not among the trusted ones"));
    let tag = tag_payload("v1");
    let tag = format!("{tag}{}", ssh_sign(&ann, "git", tag.as_bytes()));
    let found = super::verify_tag(&keys, tag.as_bytes(), "v1", COMMIT, now()).unwrap();
    assert_eq!(found.key, fingerprint);
    // A PGP key vouches for no SSH signature, and the other way round.
    let pgp = Made::new();
    assert!(
        commit_told(&pgp.keys(), &commit(&ssh_sign(&ann, "git", &payload()))).contains("not among")
    );
    assert!(told(&pgp.sign(&payload())).contains("not among"));
}

#[test]
fn keys_are_read_or_refused() {
    let ann = Made::new();
    let line = ssh_key(1).public_key().to_openssh().unwrap();
    let private = ssh_key(1).to_openssh(LineEnding::LF).unwrap();
    let secret = ann.secret.to_armored_string(ArmorOptions::default()).unwrap();
    let armored = ann.armored();
    let read = |values: &[(&str, &str)]| {
        let values = values.iter().map(|(name, value)| (*name, value.as_bytes()));
        match Keys::read(values) {
            Ok(keys) => format!("{} PGP, {} SSH", keys.pgp.len(), keys.ssh.len()),
            Err(problem) => problem.to_string(),
        }
    };
    assert_eq!(read(&[("a.asc", &armored), ("b.sshpub", &line)]), "1 PGP, 1 SSH");
    // As in Flux, a name without a known ending is one of a PGP key.
    assert_eq!(read(&[("a", &format!("{armored}\n{armored}"))]), "2 PGP, 0 SSH");
    assert_eq!(read(&[]), "there is no public key");
    assert_eq!(read(&[("a.sshpub", "# none\n")]), "there is no public key");
    let unusable =
        |reason| format!("value a cannot be used: {reason}").replace("value a", "value a.x");
    assert_eq!(read(&[("a.x", &line)]), unusable("it holds no armored PGP public key"));
    assert_eq!(read(&[("a.x", &secret)]), unusable("it holds a private key"));
    assert_eq!(
        read(&[("a.sshpub", &private)]),
        "value a.sshpub cannot be used: it holds a private key"
    );
    assert_eq!(
        read(&[("a.sshpub", &format!("no-pty {line}"))]),
        "value a.sshpub cannot be used: options before a key are not acted upon"
    );
    assert_eq!(
        read(&[("a.sshpub", "ssh-ed25519 AAAA\n")]),
        "value a.sshpub cannot be used: it holds a line that is no SSH public key"
    );
    let broken = armored.replacen("\n\n", "\n\nAAAA", 1);
    assert_eq!(read(&[("a.x", &broken)]), unusable("it holds a PGP key that cannot be read"));
    let many = format!("{line}\n").repeat(MAX_KEYS + 1);
    let found = read(&[("a.sshpub", &many)]);
    assert_eq!(found, "there are more than 64 keys or 1048576 bytes of them");
    assert_eq!(read(&[("a.sshpub", &"#".repeat(MAX_BYTES + 1))]), found);
}
