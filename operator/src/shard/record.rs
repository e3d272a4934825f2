//! Each step of a shard's way, written by compare-and-swap on the shard.

use std::time::Duration;

use kube::api::PostParams;
use kube::{Api, ResourceExt};
use sancho_crds::{CertificateShard, CertificateShardStatus};

/// Writes statuses of one shard, each on top of the last one that this process saw or wrote.
pub struct Recorder {
    api: Api<CertificateShard>,
    shard: CertificateShard,
}

/// Why a step was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Somebody else wrote the shard: the claim is void, or the names have changed.
    #[error("the shard was changed by somebody else")]
    Displaced,
    /// The API server refuses the status for certain.
    #[error("the API server refuses the status: {0}")]
    Refused(String),
}

impl Recorder {
    /// A recorder that begins with `shard`, which a quorum read gave.
    #[must_use]
    pub fn new(api: Api<CertificateShard>, shard: CertificateShard) -> Self {
        Self { api, shard }
    }

    /// The shard as it was recorded last.
    #[must_use]
    pub fn shard(&self) -> &CertificateShard {
        &self.shard
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> CertificateShardStatus {
        self.shard.status.clone().unwrap_or_default()
    }

    /// Writes `status` in place of the one recorded last. One that is the same is not written.
    ///
    /// It is tried until there is a certain answer: what a CA answered must not be forgotten because
    /// the API server is away.
    ///
    /// # Errors
    /// [`RecordError::Displaced`] if the shard was written by somebody else meanwhile.
    pub async fn record(&mut self, status: CertificateShardStatus) -> Result<(), RecordError> {
        if self.shard.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let mut wanted = self.shard.clone();
        wanted.status = Some(status);
        let name = wanted.name_any();
        let mut wait = Duration::from_millis(200);
        loop {
            match self
                .api
                .replace_status(&name, &PostParams::default(), &wanted)
                .await
            {
                Ok(shard) => {
                    self.shard = shard;
                    return Ok(());
                }
                Err(kube::Error::Api(status)) if status.code == 404 => return Err(RecordError::Displaced),
                // Ours may have landed with its answer lost, and have been sent again.
                Err(kube::Error::Api(status)) if status.code == 409 => {
                    return self.read_back(&wanted).await;
                }
                Err(kube::Error::Api(status)) if (400..500).contains(&status.code) && status.code != 429 => {
                    return Err(RecordError::Refused(status.message));
                }
                Err(error) => {
                    tracing::warn!(shard = name, %error, "a step is not recorded yet");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(5));
                }
            }
        }
    }

    /// Does the shard stand there in the version that was read or recorded last? Asked until there is an answer.
    ///
    /// # Errors
    /// [`RecordError::Displaced`] if somebody else has written it.
    pub async fn confirm(&self) -> Result<(), RecordError> {
        let name = self.shard.name_any();
        loop {
            match self.api.get_opt(&name).await {
                Ok(Some(present)) if present.resource_version() == self.shard.resource_version() => {
                    return Ok(());
                }
                Ok(_) => return Err(RecordError::Displaced),
                Err(error) => {
                    tracing::warn!(shard = name, %error, "a claim could not be read back yet");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// After a conflict: is what stands there what was to be written?
    async fn read_back(&mut self, wanted: &CertificateShard) -> Result<(), RecordError> {
        loop {
            match self.api.get_opt(&wanted.name_any()).await {
                Ok(Some(present)) => {
                    let same = present.metadata.generation == wanted.metadata.generation
                        && present.uid() == wanted.uid()
                        && present.status == wanted.status;
                    if !same {
                        return Err(RecordError::Displaced);
                    }
                    self.shard = present;
                    return Ok(());
                }
                Ok(None) => return Err(RecordError::Displaced),
                Err(error) => {
                    tracing::warn!(shard = wanted.name_any(), %error, "a step could not be read back yet");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}
