//! Everything at once: `cluster + Pebble -> front + router -> Sancho's manifests -> replicas`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::binaries;
use crate::bind::{Bind, BindOptions};
use crate::ca::{Pebble, PebbleOptions};
use crate::cluster::{Cluster, ClusterOptions, Write};
use crate::dns_api::DnsApi;
use crate::front::{Front, FrontOptions};
use crate::manifests::endpoint_slice;
use crate::replica::{NAMESPACE, RESPONDER_SERVICE, Replica, ReplicaOptions, SERVICE_ACCOUNT};
use crate::router::Router;
use crate::test_router::TestRouter;

/// What to start.
#[derive(Debug, Clone)]
pub struct WorldOptions {
    /// The control plane.
    pub cluster: ClusterOptions,
    /// The CA and its front. `None`: a CA that runs elsewhere.
    pub ca: Option<CaOptions>,
    /// Where the router to the replicas' HTTP-01 responders listens. `None`: a free port, which
    /// Pebble is told.
    pub http01_listen: Option<SocketAddr>,
    /// Whether a [`TestRouter`] stands between the CA and the replicas: then a name leads to them once an Ingress or
    /// HTTPRoute says so.
    pub test_router: bool,
    /// Whether `install.yaml` is applied. If not, the test installs Sancho before it adds replicas.
    pub manifests: bool,
    /// How many replicas.
    pub replicas: usize,
    /// How they differ from the plain ones.
    pub replica: ReplicaOptions,
}

/// The CA and its front.
#[derive(Debug, Clone, Default)]
pub struct CaOptions {
    /// The CA itself.
    pub pebble: PebbleOptions,
    /// What its front refuses.
    pub front: FrontOptions,
    /// BIND as the DNS of the names, for the CA and for Sancho. `None`: pebble-challtestsrv.
    pub bind: Option<BindOptions>,
}

impl Default for WorldOptions {
    /// Three replicas, a CA whose front refuses nothing, no controller manager.
    fn default() -> Self {
        WorldOptions {
            cluster: ClusterOptions::default(),
            ca: Some(CaOptions::default()),
            http01_listen: None,
            test_router: false,
            manifests: true,
            replicas: 3,
            replica: ReplicaOptions::default(),
        }
    }
}

/// A running world. Everything in it ends when it is dropped. Its files are deleted then, save in
/// a test that failed: it says where they are.
pub struct World {
    // Dropped in this order: clients before their servers, files last.
    /// Named `sancho-0`, `sancho-1` …
    pub replicas: Vec<Replica>,
    /// The router to their responders.
    pub router: Router,
    /// What leads to them in its place, if it was asked for.
    pub test_router: Option<TestRouter>,
    /// The CA with its front, unless it runs elsewhere.
    pub ca: Option<Ca>,
    /// The control plane.
    pub cluster: Arc<Cluster>,
    dir: Dir,
}

/// The CA and its front.
pub struct Ca {
    /// What replicas talk to.
    pub front: Front,
    /// What stands behind it.
    pub pebble: Pebble,
    /// The APIs of DNS providers that write to it, if they were asked for.
    pub dns_api: Option<DnsApi>,
    /// The names' DNS, if that is BIND.
    pub bind: Option<Bind>,
}

impl World {
    /// Starts everything and waits until every replica is ready.
    ///
    /// # Errors
    ///
    /// When a part does not start; the end of its log is told.
    pub async fn start(options: WorldOptions) -> Result<Self> {
        let WorldOptions {
            cluster,
            ca,
            http01_listen,
            test_router,
            manifests,
            replicas,
            replica,
        } = options;
        let dir = Dir::new()?;
        let router = match http01_listen {
            Some(address) => Router::start(address).await?,
            None => Router::start_anywhere().await?,
        };
        let mut test_router = match test_router {
            true => Some(TestRouter::start().await?),
            false => None,
        };
        let http01 = test_router.as_ref().map_or(router.address(), TestRouter::address);
        let ((), cluster, ca) = tokio::try_join!(
            async {
                // Built while the servers start.
                if replicas > 0 {
                    binaries::operator().await?;
                }
                Ok(())
            },
            async { Cluster::start(&dir.path().join("cluster"), &dir.logs(), &cluster).await },
            async {
                match ca {
                    Some(ca) => start_ca(&dir, http01.port(), ca).await.map(Some),
                    None => Ok(None),
                }
            }
        )?;
        if let Some(test_router) = &mut test_router {
            test_router.follow(cluster.client());
        }
        let mut world = World {
            replicas: Vec::new(),
            router,
            test_router,
            ca,
            cluster: Arc::new(cluster),
            dir,
        };
        if manifests {
            world.install().await?;
        }
        for _ in 0..replicas {
            world.add_replica(replica.clone()).await?;
        }
        for replica in &world.replicas {
            replica.ready().await?;
        }
        Ok(world)
    }

    /// Starts one more replica, named after how many there are, and puts it behind the router.
    /// Does not wait; see [`Replica::ready`].
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub async fn add_replica(&mut self, options: ReplicaOptions) -> Result<&mut Replica> {
        let index = self.replicas.len();
        let mut options = options;
        let flag = |text: &str| text.split('=').next().map(str::to_owned);
        let asked: Vec<Option<String>> = options.flags.iter().map(|text| flag(text)).collect();
        let usual = self.self_check();
        // What a test asks for itself goes before.
        let usual = usual.into_iter().filter(|text| !asked.contains(&flag(text)));
        options.flags.extend(usual);
        let replica = Replica::start(
            &format!("{SERVICE_ACCOUNT}-{index}"),
            &self.cluster,
            &self.dir.path().join("replicas"),
            &self.dir.logs(),
            options,
        )
        .await?;
        self.replicas.push(replica);
        self.router
            .set_responders(self.replicas.iter().map(Replica::responder).collect());
        if self.test_router.is_some() {
            let replica = &self.replicas[index];
            let slice = endpoint_slice(
                NAMESPACE,
                RESPONDER_SERVICE,
                replica.name(),
                replica.responder().port(),
            );
            self.cluster.apply_yaml(&slice.to_string()).await?;
        }
        Ok(&mut self.replicas[index])
    }

    /// How its replicas look at names: as Pebble does. Of a CA that runs elsewhere nobody knows where it looks.
    fn self_check(&self) -> Vec<String> {
        match &self.ca {
            Some(ca) => {
                let resolver = ca.bind.as_ref().map_or(ca.pebble.dns_address(), Bind::primary);
                let recursive = ca.bind.as_ref().map_or(resolver, Bind::recursive);
                let mut flags = vec![
                    format!("--self-check-resolvers={resolver}"),
                    format!("--self-check-port={}", self.http01().port()),
                    format!("--dns01-recursive-nameservers={recursive}"),
                    format!("--dns01-port={}", resolver.port()),
                ];
                flags.extend(ca.dns_api.iter().flat_map(DnsApi::flags));
                flags
            }
            None => vec!["--self-check=false".to_owned()],
        }
    }

    /// Where the CA asks for answers.
    pub fn http01(&self) -> SocketAddr {
        let test_router = self.test_router.as_ref();
        test_router.map_or(self.router.address(), TestRouter::address)
    }

    /// The replica of this name.
    pub fn replica(&self, name: &str) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.name() == name)
    }

    /// The replica of this name, to be restarted.
    pub fn replica_mut(&mut self, name: &str) -> Option<&mut Replica> {
        self.replicas.iter_mut().find(|replica| replica.name() == name)
    }

    /// The CA's front.
    ///
    /// # Errors
    ///
    /// When the CA runs elsewhere.
    pub fn front(&self) -> Result<&Front> {
        self.ca
            .as_ref()
            .map(|ca| &ca.front)
            .context("the CA of this world runs elsewhere")
    }

    /// Pebble.
    ///
    /// # Errors
    ///
    /// When the CA runs elsewhere.
    pub fn pebble(&self) -> Result<&Pebble> {
        self.ca
            .as_ref()
            .map(|ca| &ca.pebble)
            .context("the CA of this world runs elsewhere")
    }

    /// BIND.
    ///
    /// # Errors
    ///
    /// When the names' DNS is another.
    pub fn bind(&self) -> Result<&Bind> {
        let bind = self.ca.as_ref().and_then(|ca| ca.bind.as_ref());
        bind.context("the DNS of this world is not BIND")
    }

    /// The APIs of DNS providers.
    ///
    /// # Errors
    ///
    /// When they were not asked for.
    pub fn dns_api(&self) -> Result<&DnsApi> {
        let api = self.ca.as_ref().and_then(|ca| ca.dns_api.as_ref());
        api.context("this world has no API of a DNS provider")
    }

    /// What Sancho's service account has written since then; see [`Cluster::writes_by`].
    ///
    /// # Errors
    ///
    /// When the audit log cannot be read.
    pub fn writes_by_sancho(&self, since: jiff::Timestamp) -> Result<Vec<Write>> {
        let user = format!("system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}");
        self.cluster.writes_by(&user, since)
    }

    /// A folder for files of the world's own.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The logs of all processes, one file each.
    pub fn log_dir(&self) -> PathBuf {
        self.dir.logs()
    }

    /// Applies `install.yaml`, as the README tells a user.
    async fn install(&self) -> Result<()> {
        self.cluster
            .apply_path(&repository().join("install.yaml"))
            .await?;
        let crds = repository().join("crds/yaml");
        let crds = crds.to_str().context("a path that is not UTF-8")?;
        self.cluster
            .kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "-f", crds])
            .await?;
        Ok(())
    }
}

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

async fn start_ca(dir: &Dir, http01_port: u16, options: CaOptions) -> Result<Ca> {
    let CaOptions {
        mut pebble,
        front,
        bind,
    } = options;
    let is_api_wanted = bind.as_ref().is_some_and(|options| options.api);
    let bind = match bind {
        Some(options) => Some(Bind::start(&dir.path().join("dns"), &dir.logs(), &options).await?),
        None => None,
    };
    if let Some(bind) = &bind {
        pebble.dns_server = Some(bind.of_ca());
    }
    let dns_api = match &bind {
        Some(bind) if is_api_wanted => Some(DnsApi::start(&dir.path().join("dns-api"), bind).await?),
        _ => None,
    };
    let pebble = Pebble::start(&dir.path().join("ca"), &dir.logs(), http01_port, &pebble).await?;
    let front = Front::start_anywhere(&pebble.upstream(), front).await?;
    Ok(Ca {
        front,
        pebble,
        dns_api,
        bind,
    })
}

/// A temporary folder that stays when a test fails.
impl World {
    /// Keeps logs and other files when everything ends, for somebody to read. Says where they are.
    pub fn keep_files(&mut self) -> PathBuf {
        if let Some(temporary) = self.dir.temporary.as_mut() {
            temporary.disable_cleanup(true);
        }
        self.dir.logs()
    }
}

struct Dir {
    temporary: Option<TempDir>,
}

impl Dir {
    fn new() -> Result<Self> {
        let temporary = tempfile::Builder::new().prefix("sancho-e2e-").tempdir()?;
        Ok(Dir {
            temporary: Some(temporary),
        })
    }

    fn path(&self) -> &Path {
        self.temporary.as_ref().map_or(Path::new(""), TempDir::path)
    }

    fn logs(&self) -> PathBuf {
        self.path().join("logs")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if thread::panicking()
            && let Some(temporary) = self.temporary.take()
        {
            eprintln!(
                "the logs of this test are in {}",
                temporary.keep().join("logs").display()
            );
        }
    }
}
