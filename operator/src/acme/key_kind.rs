//! Which kind of private key a certificate is for.

use sancho_crds::{KeyAlgorithm, PrivateKey};

/// A kind of key that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256, the default: every CA takes it.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
    /// Ed25519.
    Ed25519,
}

/// No key has that algorithm and size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyKindError(&'static str);

impl KeyKind {
    /// What a Certificate asks for.
    ///
    /// # Errors
    /// [`KeyKindError`] says what to write instead of a size that does not exist.
    pub fn of(wanted: Option<&PrivateKey>) -> Result<Self, KeyKindError> {
        let Some(PrivateKey {
            algorithm,
            size,
            rotation_policy: _,
        }) = wanted
        else {
            return Ok(Self::EcdsaP256);
        };
        match (algorithm, size) {
            (None, None) | (Some(KeyAlgorithm::Ecdsa), None | Some(256)) => Ok(Self::EcdsaP256),
            (Some(KeyAlgorithm::Ecdsa), Some(384)) => Ok(Self::EcdsaP384),
            (Some(KeyAlgorithm::Rsa), None | Some(2048)) => Ok(Self::Rsa2048),
            (Some(KeyAlgorithm::Rsa), Some(3072)) => Ok(Self::Rsa3072),
            (Some(KeyAlgorithm::Rsa), Some(4096)) => Ok(Self::Rsa4096),
            (Some(KeyAlgorithm::Ed25519), None) => Ok(Self::Ed25519),
            (None, Some(_)) => Err(KeyKindError(
                "size without algorithm: write ECDSA or RSA as algorithm too",
            )),
            (Some(KeyAlgorithm::Ecdsa), Some(_)) => Err(KeyKindError("an ECDSA key's size is 256 or 384")),
            (Some(KeyAlgorithm::Rsa), Some(_)) => {
                Err(KeyKindError("an RSA key's size is 2048, 3072 or 4096"))
            }
            (Some(KeyAlgorithm::Ed25519), Some(_)) => {
                Err(KeyKindError("an Ed25519 key has one size only: leave size out"))
            }
        }
    }

    /// As it stands in the hash of what a certificate is for. Nothing for the default, so that certificates that
    /// were issued before there was a choice are still what is asked for.
    #[must_use]
    pub fn in_target(self) -> Option<&'static str> {
        match self {
            Self::EcdsaP256 => None,
            Self::EcdsaP384 => Some("key:ECDSA-384"),
            Self::Rsa2048 => Some("key:RSA-2048"),
            Self::Rsa3072 => Some("key:RSA-3072"),
            Self::Rsa4096 => Some("key:RSA-4096"),
            Self::Ed25519 => Some("key:Ed25519"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(algorithm: Option<KeyAlgorithm>, size: Option<u32>) -> Result<KeyKind, KeyKindError> {
        KeyKind::of(Some(&PrivateKey {
            algorithm,
            size,
            rotation_policy: None,
        }))
    }

    #[test]
    fn sizes_have_defaults_and_others_are_refused() {
        use KeyAlgorithm::{Ecdsa, Ed25519, Rsa};
        assert_eq!(KeyKind::of(None), Ok(KeyKind::EcdsaP256));
        assert_eq!(key(None, None), Ok(KeyKind::EcdsaP256));
        assert_eq!(key(Some(Ecdsa), Some(384)), Ok(KeyKind::EcdsaP384));
        assert_eq!(key(Some(Rsa), None), Ok(KeyKind::Rsa2048));
        assert_eq!(key(Some(Ed25519), None), Ok(KeyKind::Ed25519));
        for (algorithm, size) in [
            (None, 256),
            (Some(Ecdsa), 521),
            (Some(Rsa), 1024),
            (Some(Ed25519), 256),
        ] {
            assert!(key(algorithm, Some(size)).is_err(), "{algorithm:?} {size}");
        }
    }
}
