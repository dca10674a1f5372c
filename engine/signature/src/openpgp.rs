//! PGP signatures, as `git commit -S` makes them.
//!
//! In: trusted keys, an armored signature, what it is of, a moment. Out: the key that made it. A
//! signature counts when a component of a trusted key made it that may sign, is neither revoked nor
//! expired, and is bound to its key by signatures that are themselves strong. A revocation counts
//! for ever, also for what was signed before it.

use pgp::composed::{Deserializable as _, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{PublicKey, Signature, SignatureType, SignatureVersion, SubpacketData};
use pgp::ser::Serialize;
use pgp::types::{EcdsaPublicParams, KeyDetails, PublicParams, Tag};

use crate::SignatureProblem::{self, Bad, Unaccepted, Unfit, Unreadable, Untrusted};
use crate::openssh::RSA_BITS;
use crate::{Seconds, Signer};

/// How it begins.
pub(crate) const BEGIN: &str = "-----BEGIN PGP SIGNATURE-----";
/// How far the clock of a signer may be ahead of ours.
const SKEW: Seconds = 24 * 60 * 60;
/// Signatures of a key over itself that are looked at; a real one has a dozen.
const MAX_OWN: usize = 256;

pub(crate) fn verify(
    keys: &[SignedPublicKey],
    armored: &[u8],
    payload: &[u8],
    at: Seconds,
) -> Result<Signer, SignatureProblem> {
    let signature = read(armored)?;
    check_form(&signature, at)?;
    let named = issuer(&signature).ok_or(Unreadable("it does not name its key"))?;
    let mut bad = None;
    for key in keys {
        let id = key_id(&key.primary_key);
        for component in components(key) {
            if !made_by(&signature, component.details()) {
                continue;
            }
            if !component.verifies(&signature, payload) {
                bad = Some(Bad { key: id.clone() });
                continue;
            }
            return match check_fit(key, &component, made(&signature), at) {
                Ok(()) => Ok(Signer { key: id }),
                Err(reason) => Err(Unfit { key: id, reason }),
            };
        }
    }
    Err(bad.unwrap_or(Untrusted { key: named }))
}

fn read(armored: &[u8]) -> Result<Signature, SignatureProblem> {
    if armored.windows(BEGIN.len()).filter(|window| *window == BEGIN.as_bytes()).count() != 1 {
        return Err(Unreadable("it is more than one"));
    }
    let unreadable = || Unreadable("it is no PGP signature");
    let (mut found, _) = DetachedSignature::from_armor_many(armored).map_err(|_| unreadable())?;
    let first = found.next().ok_or_else(unreadable)?.map_err(|_| unreadable())?;
    match found.next() {
        None => Ok(first.signature),
        Some(_) => Err(Unreadable("it is more than one")),
    }
}

/// What can be said of a signature before its key is known.
fn check_form(signature: &Signature, at: Seconds) -> Result<(), SignatureProblem> {
    if !matches!(signature.version(), SignatureVersion::V4 | SignatureVersion::V6) {
        return Err(Unaccepted("its version is outdated"));
    }
    if signature.typ() != Some(SignatureType::Binary) {
        return Err(Unaccepted("it is not one over a document"));
    }
    if !is_strong(signature) {
        return Err(Unaccepted("it uses a weak hash"));
    }
    let has_unknown = signature.config().is_none_or(|config| {
        config.hashed_subpackets().any(|part| part.is_critical && !is_understood(&part.data))
    });
    if has_unknown {
        return Err(Unaccepted("it has a critical part that is not understood"));
    }
    let made = made(signature);
    if signature.created().is_none() || made > at.saturating_add(SKEW) {
        return Err(Unaccepted("it was made in the future, or does not say when"));
    }
    match signature.signature_expiration_time().map(|time| Seconds::from(time.as_secs())) {
        Some(lasts) if lasts > 0 && made + lasts <= at => Err(Unaccepted("it has expired")),
        _ => Ok(()),
    }
}

fn is_understood(data: &SubpacketData) -> bool {
    matches!(
        data,
        SubpacketData::SignatureCreationTime(_)
            | SubpacketData::SignatureExpirationTime(_)
            | SubpacketData::KeyExpirationTime(_)
            | SubpacketData::IssuerKeyId(_)
            | SubpacketData::IssuerFingerprint(_)
            | SubpacketData::KeyFlags(_)
            | SubpacketData::Features(_)
            | SubpacketData::IsPrimary(_)
            | SubpacketData::EmbeddedSignature(_)
            | SubpacketData::SignersUserID(_)
            | SubpacketData::PreferredHashAlgorithms(_)
    )
}

/// When a signature says that it was made.
fn made(signature: &Signature) -> Seconds {
    signature.created().map_or(Seconds::MAX, |time| Seconds::from(time.as_secs()))
}

fn is_strong(signature: &Signature) -> bool {
    matches!(
        signature.hash_alg(),
        Some(
            HashAlgorithm::Sha256
                | HashAlgorithm::Sha384
                | HashAlgorithm::Sha512
                | HashAlgorithm::Sha3_256
                | HashAlgorithm::Sha3_512
        )
    )
}

/// What a signature says of its key.
fn issuer(signature: &Signature) -> Option<String> {
    let fingerprint = signature.issuer_fingerprint().first().map(ToString::to_string);
    let id = || signature.issuer_key_id().first().map(ToString::to_string);
    fingerprint.or_else(id).map(|text| text.to_uppercase())
}

/// Whether a signature names a key; one that names none is nobody's.
fn made_by(signature: &Signature, key: &dyn KeyDetails) -> bool {
    signature.issuer_fingerprint().contains(&&key.fingerprint())
        || signature.issuer_key_id().contains(&&key.legacy_key_id())
}

/// The id of a key as Git shows it.
fn key_id(key: &PublicKey) -> String {
    key.legacy_key_id().to_string().to_uppercase()
}

/// A part of a key that may have signed.
enum Component<'a> {
    Primary(&'a PublicKey),
    Sub(&'a SignedPublicSubKey),
}

fn components(key: &SignedPublicKey) -> impl Iterator<Item = Component<'_>> {
    std::iter::once(Component::Primary(&key.primary_key))
        .chain(key.public_subkeys.iter().map(Component::Sub))
}

impl Component<'_> {
    fn details(&self) -> &dyn KeyDetails {
        match self {
            Self::Primary(key) => *key,
            Self::Sub(sub) => &sub.key,
        }
    }

    fn verifies(&self, signature: &Signature, payload: &[u8]) -> bool {
        match self {
            Self::Primary(key) => signature.verify(*key, payload).is_ok(),
            Self::Sub(sub) => signature.verify(&sub.key, payload).is_ok(),
        }
    }
}

/// Whether a component may be believed, or why not.
fn check_fit(
    key: &SignedPublicKey,
    component: &Component<'_>,
    made: Seconds,
    at: Seconds,
) -> Result<(), &'static str> {
    let primary = &key.primary_key;
    if is_weak(primary.public_params()) || is_weak(component.details().public_params()) {
        return Err("its algorithm or its length is too weak");
    }
    let revocations = own(&key.details.revocation_signatures, primary)?;
    if revocations.iter().any(|revocation| revocation.verify_key(primary).is_ok()) {
        return Err("it is revoked");
    }
    let bound = newest(own_bindings(key)?, at)?;
    check_time(primary, bound, made, at)?;
    match component {
        Component::Primary(_) if !bound.key_flags().sign() => Err("it is not meant to sign"),
        Component::Primary(_) => Ok(()),
        Component::Sub(sub) => check_sub(primary, sub, made, at),
    }
}

fn check_sub(
    primary: &PublicKey,
    sub: &SignedPublicSubKey,
    made: Seconds,
    at: Seconds,
) -> Result<(), &'static str> {
    let genuine: Vec<&Signature> = own(&sub.signatures, primary)?
        .into_iter()
        .filter(|signature| signature.verify_subkey_binding(primary, &sub.key).is_ok())
        .collect();
    let is_revocation =
        |signature: &&Signature| signature.typ() == Some(SignatureType::SubkeyRevocation);
    if genuine.iter().any(is_revocation) {
        return Err("it is revoked");
    }
    let bound = newest(genuine, at)?;
    if !bound.key_flags().sign() {
        return Err("it is not meant to sign");
    }
    // Without its consent, a subkey could be claimed by the key of somebody else.
    let consents = bound.embedded_signature().is_some_and(|back| {
        is_strong(back) && back.verify_primary_key_binding(&sub.key, primary).is_ok()
    });
    if !consents {
        return Err("it does not say that it belongs to its key");
    }
    check_time(&sub.key, bound, made, at)
}

/// Whether a signature was made within the life of its key, and the key is still alive.
fn check_time(
    key: &impl KeyDetails,
    bound: &Signature,
    made: Seconds,
    at: Seconds,
) -> Result<(), &'static str> {
    let born = Seconds::from(key.created_at().as_secs());
    if made < born {
        return Err("it is younger than what it signed");
    }
    match bound.key_expiration_time().map(|time| Seconds::from(time.as_secs())) {
        Some(lasts) if lasts > 0 && born + lasts <= at.max(made) => Err("it has expired"),
        _ => Ok(()),
    }
}

/// The signatures that a key says it made itself.
fn own<'a>(all: &'a [Signature], primary: &PublicKey) -> Result<Vec<&'a Signature>, &'static str> {
    let own: Vec<&Signature> = all.iter().filter(|one| made_by(one, primary)).collect();
    if own.len() > MAX_OWN { Err("it has too many signatures of its own") } else { Ok(own) }
}

/// The genuine signatures of a key over itself and its names.
fn own_bindings(key: &SignedPublicKey) -> Result<Vec<&Signature>, &'static str> {
    let primary = &key.primary_key;
    let mut bindings: Vec<&Signature> = own(&key.details.direct_signatures, primary)?
        .into_iter()
        .filter(|one| one.verify_key(primary).is_ok())
        .collect();
    let mut looked = bindings.len();
    for user in &key.details.users {
        let own = own(&user.signatures, primary)?;
        looked += own.len();
        if looked > MAX_OWN {
            return Err("it has too many signatures of its own");
        }
        let genuine: Vec<&Signature> = own
            .into_iter()
            .filter(|one| one.verify_certification(primary, Tag::UserId, &user.id).is_ok())
            .collect();
        let is_revocation = |one: &&Signature| one.typ() == Some(SignatureType::CertRevocation);
        if !genuine.iter().any(is_revocation) {
            bindings.extend(genuine);
        }
    }
    Ok(bindings)
}

/// The last word of a key about itself. Weak ones are no words; where there are only these, the
/// key cannot be believed.
fn newest(genuine: Vec<&Signature>, at: Seconds) -> Result<&Signature, &'static str> {
    if genuine.is_empty() {
        return Err("it is not bound to any name");
    }
    genuine
        .into_iter()
        .filter(|one| is_strong(one) && made(one) <= at.saturating_add(SKEW))
        .max_by_key(|one| made(one))
        .ok_or("it is bound by signatures with a weak hash only")
}

fn is_weak(key: &PublicParams) -> bool {
    match key {
        PublicParams::RSA(rsa) => rsa_bits(rsa) < RSA_BITS,
        PublicParams::ECDSA(curve) => !matches!(
            curve,
            EcdsaPublicParams::P256 { .. }
                | EcdsaPublicParams::P384 { .. }
                | EcdsaPublicParams::P521 { .. }
        ),
        PublicParams::EdDSALegacy(_) | PublicParams::Ed25519(_) | PublicParams::Ed448(_) => false,
        _ => true,
    }
}

/// The length of the modulus, which comes first in the key's own form, after its length in bits.
fn rsa_bits(key: &impl Serialize) -> u32 {
    match key.to_bytes() {
        Ok(bytes) if bytes.len() > 2 => u32::from(u16::from_be_bytes([bytes[0], bytes[1]])),
        _ => 0,
    }
}
