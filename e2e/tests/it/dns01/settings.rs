//! Settings that few need, each with a name of one Certificate.

use std::net::{Ipv4Addr, SocketAddr};

use sancho_e2e::bind::{KEY_384_NAME, KEY_512_NAME};
use sancho_e2e::dns_api::{
    ACCESS_KEY_ID, CLIENT_SECRET, CLOUDFLARE_EMAIL, CLOUDFLARE_KEY, GOVERNMENT_CLIENT, GROUP, PROJECT,
    SECRET_ACCESS_KEY, SUBSCRIPTION, TENANT, hosted_zone_id,
};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// An address at which BIND's primary is reached by TCP alone.
async fn by_tcp_alone(bind: &Bind) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (address, primary) = (listener.local_addr().unwrap(), bind.primary());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = TcpStream::connect(primary).await?;
                copy_bidirectional(&mut stream, &mut asked).await
            });
        }
    });
    address
}

/// A solver for the name `host` of the first zone, which answers in this way.
fn for_host(host: &str, way: Value) -> Value {
    json!({ "selector": { "dnsNames": [format!("{host}.{SHOP}")] }, "dns01": way })
}

/// A solver for Certificates with this label.
fn for_label(tier: &str, way: Value) -> Value {
    json!({ "selector": { "matchLabels": { "tier": tier } }, "dns01": way })
}

/// Applies the ClusterIssuer `settings`, and a Certificate of that name whose names are each written by another of its solvers.
pub(super) async fn apply(world: &World) {
    let bind = world.bind().unwrap();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "settings", "namespace": NAMESPACE },
        "stringData": {
            "cloudflare": CLOUDFLARE_KEY, "aws-id": ACCESS_KEY_ID, "aws": SECRET_ACCESS_KEY, "azure": CLIENT_SECRET,
            "google": world.dns_api().unwrap().key_file(), "tsig": KEY,
        },
    });
    let field = |key: &str| json!({ "name": "settings", "key": key });
    let cloudflare = json!({ "cloudflare": {
        "email": CLOUDFLARE_EMAIL, "apiKeySecretRef": field("cloudflare"),
    } });
    let route53 = json!({ "route53": {
        "hostedZoneID": hosted_zone_id(SHOP), "accessKeyIDSecretRef": field("aws-id"),
        "secretAccessKeySecretRef": field("aws"),
    } });
    let google = json!({ "cloudDNS": {
        "project": PROJECT, "hostedZoneName": "z-shop-example", "serviceAccountSecretRef": field("google"),
    } });
    let azure = json!({ "azureDNS": {
        "subscriptionID": SUBSCRIPTION, "resourceGroupName": GROUP, "hostedZoneName": SHOP, "tenantID": TENANT,
        "environment": "AzureUSGovernmentCloud", "clientID": GOVERNMENT_CLIENT, "clientSecretSecretRef": field("azure"),
    } });
    let by_tcp = json!({ "rfc2136": {
        "nameserver": by_tcp_alone(bind).await.to_string(), "protocol": "TCP", "tsigKeyName": KEY_384_NAME,
        "tsigAlgorithm": "HMACSHA384", "tsigSecretSecretRef": field("tsig"),
    } });
    let by_label = |key: &str| {
        json!({ "rfc2136": {
            "nameserver": bind.primary().to_string(), "tsigKeyName": KEY_512_NAME, "tsigAlgorithm": "HMACSHA512",
            "tsigSecretSecretRef": field(key),
        } })
    };
    let front = world.front().unwrap();
    let mut issuer = cluster_issuer("settings", &front.directory_url(), front.ca_pem(), FAST);
    issuer["spec"]["acme"]["solvers"] = json!([
        for_label("back", by_label("absent")),
        for_label("front", by_label("tsig")),
        for_host("global-key", cloudflare),
        for_host("by-id", route53),
        for_host("by-name", google),
        for_host("government", azure),
        for_host("by-tcp", by_tcp),
    ]);
    let hosts = [
        "by-label",
        "global-key",
        "by-id",
        "by-name",
        "government",
        "by-tcp",
    ];
    let names = hosts.map(|host| format!("{host}.{SHOP}"));
    let mut certificate = certificate("settings", "settings", &names, 20);
    certificate["metadata"]["labels"] = json!({ "tier": "front" });
    for manifest in [secret, issuer, certificate] {
        world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
    }
}
