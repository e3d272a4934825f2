//! How a session begins: newAccount makes the account or finds it (RFC 8555 §7.3), keyChange gives it another key (§7.3.5).

use std::sync::Arc;

use jiff::Timestamp;
use sancho_core::order::{advised, reason};
use sancho_core::response::{NotJson, Response, Throttle, kind};
use serde::Deserialize;
use serde_json::json;

use super::{Authority, Session, Unavailable};
use crate::acme::account::{AccountKey, AccountKeyError, NewAccount};
use crate::acme::binding::ExternalAccount;
use crate::acme::directory::Directory;
use crate::acme::error::SendError;
use crate::acme::jws::{Signer, with_key};
use crate::acme::origin::{CaUrl, UrlError};
use crate::acme::transport::{Post, Transport};

/// Why an account could not be made or found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// A quota of new accounts is used up.
    #[error("{}", advised(reason::RATE_LIMITED, message))]
    QuotaUsedUp {
        /// When it may be asked again.
        until: Timestamp,
        /// The CA's words.
        message: String,
    },
    /// The CA asks for a slower pace.
    #[error("{}", advised(reason::THROTTLED, message))]
    Throttled {
        /// When it may be asked again, if it says so.
        until: Option<Timestamp>,
        /// The CA's words.
        message: String,
    },
    /// The CA refuses the account; asking again without a change is of no use.
    #[error("the CA refuses the account: {message}")]
    Refused {
        /// The problem's type, such as `externalAccountRequired` or `unsupportedContact`.
        kind: String,
        /// The CA's words.
        message: String,
    },
    /// The account exists and is deactivated or revoked.
    #[error(
        "the account is {status:?} at the CA: delete the issuer's account Secret, and a new account is made"
    )]
    NotValid {
        /// The account's status.
        status: String,
    },
    /// The CA failed, or its answer makes no sense; to be tried again later.
    #[error("the CA could not make an account, and is asked again later: {message}")]
    Failed {
        /// What was wrong with the answer.
        message: String,
    },
    /// There was no answer.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// Why an account has not got another key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyChangeError {
    /// The CA's directory has no `keyChange`.
    #[error("the CA's directory has no keyChange: it gives accounts no other key")]
    NotOffered,
    /// The CA refuses it; it keeps the key that it has.
    #[error("the CA refuses the account's new key: {message}")]
    Refused {
        /// The CA's words.
        message: String,
    },
    /// It could not be asked, or its answer makes no sense. Whether the key was changed is not known.
    #[error(transparent)]
    Unclear(RegisterError),
}

impl Session {
    /// Makes the account of `key`, or finds it: newAccount answers both (RFC 8555 §7.3). `external` vouches for
    /// it; a CA that wants that and does not get it is not asked. Takes the directory, newAccount and, if no
    /// nonce came with the directory, newNonce; what a stale nonce costs comes on top.
    ///
    /// # Errors
    /// [`RegisterError`] tells a refusal from what is tried again.
    pub async fn register(
        transport: Transport,
        directory_url: &str,
        key: Arc<AccountKey>,
        account: NewAccount,
        external: Option<&ExternalAccount>,
    ) -> Result<Self, RegisterError> {
        let authority = Authority::new(transport, directory_url)?;
        let directory = authority.directory_at_hand().await?;
        if directory.external_account_required && external.is_none() {
            return Err(RegisterError::Refused {
                kind: kind::EXTERNAL_ACCOUNT_REQUIRED.to_owned(),
                message: "its directory says so (externalAccountRequired)".to_owned(),
            });
        }
        let url = directory.new_account.as_str();
        let binding = external.map(|external| external.bind(key.jwk(), url).ok_or(AccountKeyError::Signing));
        let account = NewAccount {
            external_account_binding: binding.transpose().map_err(SendError::from)?,
            ..account
        };
        authority.new_account(&directory, key, &account).await
    }

    /// The session of the account that `key` has at the CA already; nothing if it has none.
    ///
    /// # Errors
    /// [`RegisterError`], if the CA said neither.
    pub async fn find(
        transport: Transport,
        directory_url: &str,
        key: Arc<AccountKey>,
    ) -> Result<Option<Self>, RegisterError> {
        let authority = Authority::new(transport, directory_url)?;
        let directory = authority.directory_at_hand().await?;
        let account = NewAccount {
            only_return_existing: true,
            ..NewAccount::with_email(None)
        };
        match authority.new_account(&directory, key, &account).await {
            Ok(session) => Ok(Some(session)),
            Err(RegisterError::Refused { kind, .. })
                if [kind::ACCOUNT_DOES_NOT_EXIST, kind::EXTERNAL_ACCOUNT_REQUIRED]
                    .contains(&kind.as_str()) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the account `new` in place of its key: from then on the CA takes no request that the old one signed.
    /// Its URL, orders and authorizations stay as they are.
    ///
    /// # Errors
    /// [`KeyChangeError`] tells a refusal from what is not known; in the latter case [`Session::find`] tells.
    pub async fn change_key(&self, new: Arc<AccountKey>) -> Result<Self, KeyChangeError> {
        let unclear = |error: SendError| KeyChangeError::Unclear(error.into());
        let directory = self.authority.directory_at_hand().await;
        let directory = directory.map_err(KeyChangeError::Unclear)?;
        let Some(url) = directory.key_change else {
            return Err(KeyChangeError::NotOffered);
        };
        let change = json!({ "account": self.kid.as_str(), "oldKey": self.key.jwk() }).to_string();
        let inner = with_key(&new, url.as_str(), change.as_bytes()).map_err(|error| unclear(error.into()))?;
        let post = Post {
            kind: "keyChange",
            new_nonce: &directory.new_nonce,
            url: &url,
            signer: Signer::Account {
                key: &self.key,
                kid: self.kid.as_str(),
            },
            payload: &inner,
            accept: None,
        };
        let answer = self.authority.transport.post(post).await.map_err(unclear)?;
        if !answer.is_success() {
            return Err(match refusal(&answer) {
                RegisterError::Refused { message, .. } => KeyChangeError::Refused { message },
                error => KeyChangeError::Unclear(error),
            });
        }
        Ok(Session {
            key: new,
            ..self.clone()
        })
    }
}

impl Authority {
    async fn directory_at_hand(&self) -> Result<Directory, RegisterError> {
        match self.directory().await {
            Ok(directory) => Ok(directory),
            Err(Unavailable::Throttled(answer)) => Err(refusal(&answer)),
            Err(Unavailable::Failed(error)) => Err(error.into()),
        }
    }

    async fn new_account(
        self,
        directory: &Directory,
        key: Arc<AccountKey>,
        account: &NewAccount,
    ) -> Result<Session, RegisterError> {
        let payload = serde_json::to_vec(account).map_err(|error| RegisterError::Failed {
            message: error.to_string(),
        })?;
        let answer = self
            .transport
            .post(Post {
                kind: "newAccount",
                new_nonce: &directory.new_nonce,
                url: &directory.new_account,
                signer: Signer::Key(&key),
                payload: &payload,
                accept: None,
            })
            .await?;
        let kid = account_url(&self.transport, &answer)?;
        Ok(Session {
            authority: self,
            key,
            kid,
        })
    }
}

impl From<UrlError> for RegisterError {
    fn from(error: UrlError) -> Self {
        RegisterError::Send(error.into())
    }
}

impl From<NotJson> for RegisterError {
    fn from(error: NotJson) -> Self {
        RegisterError::Failed {
            message: error.to_string(),
        }
    }
}

/// The account's URL in newAccount's answer.
fn account_url(transport: &Transport, answer: &Response) -> Result<CaUrl, RegisterError> {
    #[derive(Deserialize)]
    struct Account {
        status: Option<String>,
    }
    if !answer.is_success() {
        return Err(refusal(answer));
    }
    // Some CAs leave the status out; RFC 8555 §7.1.2 knows two others than `valid`.
    let Account { status } = answer.json()?;
    if let Some(status) = status.filter(|status| status != "valid") {
        return Err(RegisterError::NotValid {
            status: sancho_core::shown::shown(&status),
        });
    }
    let location = answer.location.as_deref().ok_or_else(|| RegisterError::Failed {
        message: "newAccount was answered without the account's URL".to_owned(),
    })?;
    Ok(transport.admit(location)?)
}

fn refusal(answer: &Response) -> RegisterError {
    let problem = answer.problem();
    let message = problem.message();
    match answer.throttle(Timestamp::now()) {
        Some(Throttle::Pace(until)) => RegisterError::Throttled { until, message },
        Some(Throttle::Quota(quota)) => RegisterError::QuotaUsedUp {
            until: quota.until,
            message,
        },
        None if (400..500).contains(&answer.status) && problem.kind() != kind::BAD_NONCE => {
            RegisterError::Refused {
                kind: sancho_core::shown::shown(problem.kind()),
                message,
            }
        }
        None => RegisterError::Failed { message },
    }
}
