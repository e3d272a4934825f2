//! What a provider's API refuses, and credentials that are missing: nothing of it costs the CA anything, and each is told
//! with its mend.

use sancho_e2e::dns_api::{
    ACCESS_KEY_ID, CLIENT_SECRET, CLOUDFLARE_TOKEN, PROJECT, SECRET_ACCESS_KEY, hosted_zone_id,
};

use super::mistakes::apply_own;
use super::providers::{acme_dns, apply_accounts, azure_dns, by_api, cloud_dns, cloudflare, route53};
use super::*;
use crate::stories::not_ready;

#[tokio::test]
async fn what_a_provider_refuses_is_told_with_its_mend_before_the_ca_is_asked() {
    let mut options = by_api();
    options.bind.as_mut().unwrap().fixed_zones = vec![("other.example".to_owned(), String::new())];
    let world = traced(1, FAST, options).await;
    apply_key(&world, "token", CLOUDFLARE_TOKEN).await;
    apply_key(&world, "key", SECRET_ACCESS_KEY).await;
    apply_key(&world, "wrong", "wrong-but-secret").await;
    apply_key(&world, "google", world.dns_api().unwrap().key_file()).await;
    apply_key(&world, "azure", CLIENT_SECRET).await;
    apply_accounts(&world).await;
    let wildcard = format!("*.{SHOP}");
    let other = "www.other.example".to_owned();
    let naming = |mut solver: Value, way: &str, field: &str, value: &str| {
        solver["dns01"][way][field] = json!(value);
        solver
    };
    let hosted = |id: &str| naming(route53(ACCESS_KEY_ID, "key"), "route53", "hostedZoneID", id);
    let cases = [
        (
            "bad-token",
            cloudflare("wrong"),
            &wildcard,
            "DNSCredentialsRefused",
            "put a valid API token into the Secret",
        ),
        (
            "no-token",
            cloudflare("absent"),
            &wildcard,
            "DNSCredentialsMissing",
            "kubectl create secret generic absent --from-literal=key=KEY",
        ),
        (
            "no-zone",
            cloudflare("token"),
            &other,
            "DNSZoneRefused",
            "Cloudflare shows no active zone other.example to these credentials",
        ),
        (
            "bad-secret",
            route53(ACCESS_KEY_ID, "wrong"),
            &wildcard,
            "DNSCredentialsRefused",
            "put the secret access key of that ID into the Secret",
        ),
        (
            "bad-id",
            route53("AKIANOBODYSKEY000000", "key"),
            &wildcard,
            "DNSCredentialsRefused",
            "no such access key",
        ),
        (
            "no-hosted-zone",
            route53(ACCESS_KEY_ID, "key"),
            &other,
            "DNSZoneRefused",
            "the AWS account has no public hosted zone other.example",
        ),
        (
            "bad-zone-id",
            hosted("ZNOBODYS"),
            &wildcard,
            "DNSZoneRefused",
            "write the ID of the domain's zone into dns01.route53.hostedZoneID",
        ),
        (
            "other-zone-id",
            hosted(&hosted_zone_id(BLOG)),
            &wildcard,
            "DNSZoneRefused",
            "is not in the zone blog.example, which dns01.route53.hostedZoneID names: take that out",
        ),
        (
            "no-project",
            cloud_dns("somebody-elses", "google"),
            &wildcard,
            "DNSUpdateRefused",
            "give it the role DNS Administrator (roles/dns.admin) in the project somebody-elses",
        ),
        (
            "no-key-file",
            cloud_dns(PROJECT, "wrong"),
            &wildcard,
            "DNSCredentialsMissing",
            "no key file of a service account",
        ),
        (
            "no-managed-zone",
            cloud_dns(PROJECT, "google"),
            &other,
            "DNSZoneRefused",
            "no public managed zone other.example",
        ),
        (
            "other-managed-zone",
            naming(
                cloud_dns(PROJECT, "google"),
                "cloudDNS",
                "hostedZoneName",
                "z-blog-example",
            ),
            &wildcard,
            "DNSZoneRefused",
            "no public managed zone z-blog-example that is the zone shop.example",
        ),
        (
            "bad-client-secret",
            azure_dns("wrong"),
            &wildcard,
            "DNSCredentialsRefused",
            "check dns01.azureDNS.tenantID and clientID",
        ),
        (
            "no-azure-zone",
            azure_dns("azure"),
            &other,
            "DNSZoneRefused",
            "Azure DNS has no zone other.example in the resource group dns",
        ),
        (
            "other-azure-zone",
            naming(azure_dns("azure"), "azureDNS", "hostedZoneName", BLOG),
            &wildcard,
            "DNSZoneRefused",
            "is not in the zone blog.example, which dns01.azureDNS.hostedZoneName names: take that out",
        ),
        (
            "no-cname",
            acme_dns(&world),
            &other,
            "DNSZoneRefused",
            "let a CNAME at _acme-challenge of the name lead to the fulldomain of an account",
        ),
    ];
    for (name, solver, dns_name, _, _) in &cases {
        apply_pair(&world, name, solver.clone(), &[(*dns_name).clone()]).await;
    }
    apply_own(&world, cloudflare("token")).await;
    for (name, _, _, reason, advice) in &cases {
        not_ready(&world, name, reason, advice).await;
    }
    // The Secret of that name in the operator's namespace, which has a good token, is none of a namespace's own issuer.
    let advice = "Secret token, with the API token, does not exist: kubectl create secret generic token";
    not_ready(&world, "own", "DNSCredentialsMissing", advice).await;
    assert_eq!(orders(&world).await, 0, "the CA was asked in vain");

    // Nor is it once there is one in each: the operator's has another token by now.
    apply_key(&world, "token", "wrong-but-secret").await;
    apply_key_in(&world, "default", "token", CLOUDFLARE_TOKEN).await;
    retry_now(&world, "own").await;
    ready(&world, "own", Duration::from_secs(180)).await;
    no_record_left(&world).await;
    shown_nowhere(&world, &[CLOUDFLARE_TOKEN, SECRET_ACCESS_KEY, "wrong-but-secret"]).await;
}
