//! Who signed a release: `OpenPGP` signatures in the text (`InRelease`) or beside it (`Release.gpg`), by a key of
//! the keyring. The only place that names `pgp`.

use std::io::{BufRead, BufReader};

use pgp::armor::Dearmor;
use pgp::composed::{
    CleartextSignedMessage, Deserializable as _, DetachedSignature, SignedPublicKey,
    SignedPublicSubKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Packet, PacketParser, Signature, SignatureType};
use pgp::types::{KeyDetails, VerifyingKey};

/// The keys that are trusted.
pub struct Keyring {
    keys: Vec<SignedPublicKey>,
}

/// Why a text is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The keyring is none.
    #[error("it holds no OpenPGP keys")]
    NoKeys,
    /// What should be signed is not.
    #[error("it bears no OpenPGP signature: {problem}")]
    Unsigned {
        /// What the library says.
        problem: String,
    },
    /// No key of the keyring.
    #[error("none of its signatures is by a key of the keyring; they are by {}", .issuers.join(", "))]
    Unknown {
        /// Who signed, as far as the signatures say.
        issuers: Vec<String>,
    },
    /// A key of the keyring, and not this text, or not by rights.
    #[error("the signature by {issuer} {problem}")]
    Bad {
        /// The key's fingerprint.
        issuer: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// Whom a good signature is by, and when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The fingerprint of the key, in hexadecimal digits.
    pub fingerprint: String,
}

impl Keyring {
    /// Reads keys, with or without ASCII armour. Keys of kinds that are not understood are passed over.
    pub fn parse(bytes: &[u8]) -> Result<Keyring, SignatureError> {
        let armoured = bytes
            .trim_ascii_start()
            .starts_with(b"-----BEGIN PGP PUBLIC KEY");
        let keys = if armoured {
            keys(BufReader::new(Dearmor::new(bytes)))
        } else {
            keys(bytes)
        };
        if keys.is_empty() {
            return Err(SignatureError::NoKeys);
        }
        Ok(Keyring { keys })
    }

    /// The text of an `InRelease` file, if a key of the keyring signed it. `now` is in seconds since the epoch.
    pub fn open(&self, message: &str, now: u64) -> Result<(String, Signer), SignatureError> {
        let (message, _) =
            CleartextSignedMessage::from_string(message).map_err(|error| unsigned(&error))?;
        let text = message.signed_text();
        let signer = self.check(message.signatures().iter(), text.as_bytes(), now)?;
        Ok((text.replace("\r\n", "\n"), signer))
    }

    /// Checks a text by the signatures that lie beside it.
    pub fn verify(
        &self,
        text: &[u8],
        signatures: &[u8],
        now: u64,
    ) -> Result<Signer, SignatureError> {
        let armoured = signatures.trim_ascii_start().starts_with(b"-----BEGIN PGP");
        let all: Vec<DetachedSignature> = if armoured {
            let (all, _) =
                DetachedSignature::from_armor_many(signatures).map_err(|error| unsigned(&error))?;
            all.filter_map(Result::ok).collect()
        } else {
            let all =
                DetachedSignature::from_bytes_many(signatures).map_err(|error| unsigned(&error))?;
            all.filter_map(Result::ok).collect()
        };
        self.check(all.iter().map(|one| &one.signature), text, now)
    }

    /// One good signature is enough: archives sign with several keys while one is replaced by the next.
    fn check<'s>(
        &self,
        signatures: impl Iterator<Item = &'s Signature>,
        text: &[u8],
        now: u64,
    ) -> Result<Signer, SignatureError> {
        let mut issuers = Vec::new();
        let mut bad = None;
        for signature in signatures {
            issuers.push(issuer(signature));
            for key in &self.keys {
                match by_key(key, signature, text, now) {
                    Ok(None) => {}
                    Ok(Some(fingerprint)) => return Ok(Signer { fingerprint }),
                    Err(problem) => {
                        bad.get_or_insert(SignatureError::Bad {
                            issuer: issuer(signature),
                            problem,
                        });
                    }
                }
            }
        }
        if issuers.is_empty() {
            let problem = "there is none in it".to_owned();
            return Err(SignatureError::Unsigned { problem });
        }
        Err(bad.unwrap_or(SignatureError::Unknown { issuers }))
    }
}

/// All keys that are understood. gpg notes in its own keyrings, Ubuntu's among them, what it thinks of a name between the
/// name and the signature on it (RFC 9580, section 5.10, trust packets).
fn keys(reader: impl BufRead) -> Vec<SignedPublicKey> {
    let packets = PacketParser::new(reader).filter(|packet| {
        let aside = matches!(
            packet,
            Err(_) | Ok(Packet::Trust(_) | Packet::Marker(_) | Packet::Padding(_))
        );
        !aside
    });
    let keys = SignedPublicKey::from_packets(packets.peekable());
    keys.filter_map(Result::ok).collect()
}

fn unsigned(error: &pgp::errors::Error) -> SignatureError {
    let line = error.to_string();
    SignatureError::Unsigned {
        problem: line.lines().next().unwrap_or_default().to_owned(),
    }
}

/// The fingerprint of the key that made the signature, if it is this one or belongs to it.
fn by_key(
    key: &SignedPublicKey,
    signature: &Signature,
    text: &[u8],
    now: u64,
) -> Result<Option<String>, &'static str> {
    let primary = &key.primary_key;
    if is_by(signature, primary) {
        let certifications = certifications(key);
        let usable = good(signature, primary, text, now)
            .and_then(|()| unrevoked(key))
            .and_then(|()| unexpired(primary, &certifications, now));
        return usable.map(|()| Some(hex(primary)));
    }
    for subkey in &key.public_subkeys {
        if is_by(signature, &subkey.key) {
            let bindings = bindings(key, subkey)?;
            let usable = good(signature, &subkey.key, text, now)
                .and_then(|()| unrevoked(key))
                .and_then(|()| unexpired(&subkey.key, &bindings, now))
                .and_then(|()| unexpired(primary, &certifications(key), now));
            return usable.map(|()| Some(hex(&subkey.key)));
        }
    }
    Ok(None)
}

/// Whether the signature itself is right.
fn good(
    signature: &Signature,
    key: &impl VerifyingKey,
    text: &[u8],
    now: u64,
) -> Result<(), &'static str> {
    if !matches!(
        signature.typ(),
        Some(SignatureType::Binary | SignatureType::Text)
    ) {
        return Err("is not one of a document");
    }
    let strong = [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
        HashAlgorithm::Sha3_256,
        HashAlgorithm::Sha3_512,
    ];
    if !signature
        .hash_alg()
        .is_some_and(|hash| strong.contains(&hash))
    {
        return Err("uses a digest that is broken");
    }
    signature
        .verify(key, text)
        .map_err(|_| "is not one of this text")?;
    let made = signature.created().map(|made| u64::from(made.as_secs()));
    let lasts = signature
        .signature_expiration_time()
        .map(|time| u64::from(time.as_secs()))
        .filter(|time| *time > 0);
    match (made, lasts) {
        (Some(made), Some(lasts)) if made + lasts < now => Err("has expired"),
        (None, _) => Err("does not say when it was made"),
        _ => Ok(()),
    }
}

/// The owner's statements about his own key.
fn certifications(key: &SignedPublicKey) -> Vec<&Signature> {
    let primary = &key.primary_key;
    let direct = key.details.direct_signatures.iter();
    let direct = direct.filter(|signature| signature.verify_key(primary).is_ok());
    let users = key.details.users.iter().flat_map(|user| {
        user.signatures.iter().filter(|signature| {
            signature.typ() != Some(SignatureType::CertRevocation)
                && signature
                    .verify_certification(primary, pgp::types::Tag::UserId, &user.id)
                    .is_ok()
        })
    });
    direct.chain(users).collect()
}

/// The statements that bind a subkey which may sign, by both keys.
fn bindings<'k>(
    key: &SignedPublicKey,
    subkey: &'k SignedPublicSubKey,
) -> Result<Vec<&'k Signature>, &'static str> {
    let mut bindings = Vec::new();
    for signature in &subkey.signatures {
        let primary = &key.primary_key;
        if signature.typ() == Some(SignatureType::SubkeyRevocation) {
            return Err("is by a key that was revoked");
        }
        let bound = signature
            .verify_subkey_binding(primary, &subkey.key)
            .is_ok();
        let back = signature.embedded_signature().is_some_and(|back| {
            back.verify_primary_key_binding(&subkey.key, primary)
                .is_ok()
        });
        if bound && back && signature.key_flags().sign() {
            bindings.push(signature);
        }
    }
    Ok(bindings)
}

fn unrevoked(key: &SignedPublicKey) -> Result<(), &'static str> {
    // What somebody else wrote beside a key revokes nothing.
    let revoked = key
        .details
        .revocation_signatures
        .iter()
        .any(|signature| signature.verify_key(&key.primary_key).is_ok());
    if revoked {
        return Err("is by a key that was revoked");
    }
    Ok(())
}

/// Whether a key is valid now, by the newest statement about it.
fn unexpired(
    key: &impl KeyDetails,
    statements: &[&Signature],
    now: u64,
) -> Result<(), &'static str> {
    let newest = statements
        .iter()
        .max_by_key(|statement| statement.created().map(pgp::types::Timestamp::as_secs));
    let newest = newest.ok_or("is by a key that nothing binds to its owner")?;
    let lasts = newest
        .key_expiration_time()
        .map(|time| u64::from(time.as_secs()))
        .filter(|time| *time > 0);
    let made = u64::from(key.created_at().as_secs());
    if lasts.is_some_and(|lasts| made + lasts < now) {
        return Err("is by a key that has expired");
    }
    Ok(())
}

fn is_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let fingerprints = signature.issuer_fingerprint();
    if !fingerprints.is_empty() {
        return fingerprints.contains(&&key.fingerprint());
    }
    signature.issuer_key_id().contains(&&key.legacy_key_id())
}

fn hex(key: &impl KeyDetails) -> String {
    key.fingerprint().to_string().to_uppercase()
}

fn issuer(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().into_iter().next();
    let fingerprint = fingerprint.map(|one| one.to_string().to_uppercase());
    let id = signature.issuer_key_id().into_iter().next();
    let id = id.map(|one| one.to_string().to_uppercase());
    fingerprint
        .or(id)
        .unwrap_or_else(|| "an unnamed key".to_owned())
}
