//! Providers of DNS by one form: those at which each value is changed on its own, and that a token lets in.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretKeySelector;

/// The API of a provider that has no form of its own.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.account) == (self.name in ['alidns', 'autodns', 'baiducloud', 'cloudns', 'dnsimple', 'dnsmadeeasy', 'domeneshop', 'easydns', 'exoscale', 'glesys', 'ibmcloud', 'inwx', 'lightsail', 'luadns', 'mythicbeasts', 'namedotcom', 'oraclecloud', 'ovh', 'porkbun', 'simply', 'spaceship', 'tencentcloud', 'transip', 'vercel', 'volcengine', 'websupport', 'yandexcloud', 'zoneee'])")
        .message("account goes with the names that need one, and with no other: write what docs/solvers.md has for this name, or take it out"),
    validation = Rule::new("self.name != 'dnsimple' || !has(self.account) || self.account.matches('^[0-9]+$')")
        .message("account is not the ID of one at DNSimple: write the number that follows /a/ in the address of its pages, as in '1010'"),
    validation = Rule::new("self.name != 'oraclecloud' || !has(self.account) || self.account.matches('^[a-z0-9-]+/ocid1[.]tenancy[.]oc1[.][0-9A-Za-z._-]+/ocid1[.]user[.]oc1[.][0-9A-Za-z._-]+/[0-9A-Fa-f]{32}$')")
        .message("account is none at Oracle Cloud: write REGION/TENANCY/USER/FINGERPRINT, with the OCIDs of tenancy and user, and the key's fingerprint without its colons")
)]
pub struct OtherProvider {
    /// Which one.
    pub name: ProviderName,
    /// A token that may read and write the zones' records: in the namespace of an Issuer, beside a ClusterIssuer in the
    /// operator's own.
    pub token_secret_ref: SecretKeySelector,
    /// What a provider asks for beside the token, and that is no secret: the ID of the account that has the zones, the
    /// name of a user, or the ID of the key. `docs/solvers.md` says which want it.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[!-9;-~]+$')")
        .message("account has white space, a colon or characters beyond ASCII: write the ID or name alone"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// A provider that has no form of its own.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum ProviderName {
    /// Alibaba Cloud DNS.
    AliDns,
    /// ArvanCloud.
    ArvanCloud,
    /// AutoDNS.
    AutoDns,
    /// Baidu AI Cloud.
    BaiduCloud,
    /// Bunny.
    Bunny,
    /// ClouDNS.
    ClouDns,
    /// DigitalOcean.
    DigitalOcean,
    /// DNSimple.
    DnSimple,
    /// DNS Made Easy.
    DnsMadeEasy,
    /// Domeneshop.
    Domeneshop,
    /// DreamHost.
    DreamHost,
    /// Dynu.
    Dynu,
    /// easyDNS.
    EasyDns,
    /// Exoscale.
    Exoscale,
    /// GleSYS.
    Glesys,
    /// Hetzner, zones of its Console (Cloud API).
    Hetzner,
    /// hosting.de.
    HostingDe,
    /// IBM Cloud (classic infrastructure).
    IbmCloud,
    /// Infomaniak.
    Infomaniak,
    /// INWX.
    Inwx,
    /// IONOS.
    Ionos,
    /// IPv64.net.
    Ipv64,
    /// Amazon Lightsail.
    Lightsail,
    /// Linode (Akamai Cloud).
    Linode,
    /// LuaDNS.
    LuaDns,
    /// Mythic Beasts.
    MythicBeasts,
    /// Name.com.
    NameDotCom,
    /// NameSilo.
    NameSilo,
    /// netcup, domains of its CloudDNS.
    Netcup,
    /// Netlify.
    Netlify,
    /// Oracle Cloud.
    OracleCloud,
    /// OVHcloud.
    Ovh,
    /// Porkbun.
    Porkbun,
    /// ANS SafeDNS.
    SafeDns,
    /// Scaleway.
    Scaleway,
    /// Simply.com.
    Simply,
    /// Spaceship.
    Spaceship,
    /// Tencent Cloud DNSPod.
    TencentCloud,
    /// TransIP.
    TransIp,
    /// Vercel.
    Vercel,
    /// Volcengine.
    Volcengine,
    /// Vultr.
    Vultr,
    /// Websupport.
    Websupport,
    /// Yandex Cloud.
    YandexCloud,
    /// Zone (zone.ee, zone.eu).
    ZoneEe,
}

impl ProviderName {
    /// All of them.
    pub const ALL: [Self; 45] = [
        Self::AliDns,
        Self::ArvanCloud,
        Self::AutoDns,
        Self::BaiduCloud,
        Self::Bunny,
        Self::ClouDns,
        Self::DigitalOcean,
        Self::DnSimple,
        Self::DnsMadeEasy,
        Self::Domeneshop,
        Self::DreamHost,
        Self::Dynu,
        Self::EasyDns,
        Self::Exoscale,
        Self::Glesys,
        Self::Hetzner,
        Self::HostingDe,
        Self::IbmCloud,
        Self::Infomaniak,
        Self::Inwx,
        Self::Ionos,
        Self::Ipv64,
        Self::Lightsail,
        Self::Linode,
        Self::LuaDns,
        Self::MythicBeasts,
        Self::NameDotCom,
        Self::NameSilo,
        Self::Netcup,
        Self::Netlify,
        Self::OracleCloud,
        Self::Ovh,
        Self::Porkbun,
        Self::SafeDns,
        Self::Scaleway,
        Self::Simply,
        Self::Spaceship,
        Self::TencentCloud,
        Self::TransIp,
        Self::Vercel,
        Self::Volcengine,
        Self::Vultr,
        Self::Websupport,
        Self::YandexCloud,
        Self::ZoneEe,
    ];

    /// As it stands in manifests.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::AliDns => "alidns",
            Self::ArvanCloud => "arvancloud",
            Self::AutoDns => "autodns",
            Self::BaiduCloud => "baiducloud",
            Self::Bunny => "bunny",
            Self::ClouDns => "cloudns",
            Self::DigitalOcean => "digitalocean",
            Self::DnSimple => "dnsimple",
            Self::DnsMadeEasy => "dnsmadeeasy",
            Self::Domeneshop => "domeneshop",
            Self::DreamHost => "dreamhost",
            Self::Dynu => "dynu",
            Self::EasyDns => "easydns",
            Self::Exoscale => "exoscale",
            Self::Glesys => "glesys",
            Self::Hetzner => "hetzner",
            Self::HostingDe => "hostingde",
            Self::IbmCloud => "ibmcloud",
            Self::Infomaniak => "infomaniak",
            Self::Inwx => "inwx",
            Self::Ionos => "ionos",
            Self::Ipv64 => "ipv64",
            Self::Lightsail => "lightsail",
            Self::Linode => "linode",
            Self::LuaDns => "luadns",
            Self::MythicBeasts => "mythicbeasts",
            Self::NameDotCom => "namedotcom",
            Self::NameSilo => "namesilo",
            Self::Netcup => "netcup",
            Self::Netlify => "netlify",
            Self::OracleCloud => "oraclecloud",
            Self::Ovh => "ovh",
            Self::Porkbun => "porkbun",
            Self::SafeDns => "safedns",
            Self::Scaleway => "scaleway",
            Self::Simply => "simply",
            Self::Spaceship => "spaceship",
            Self::TencentCloud => "tencentcloud",
            Self::TransIp => "transip",
            Self::Vercel => "vercel",
            Self::Volcengine => "volcengine",
            Self::Vultr => "vultr",
            Self::Websupport => "websupport",
            Self::YandexCloud => "yandexcloud",
            Self::ZoneEe => "zoneee",
        }
    }

    /// As people name it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::AliDns => "Alibaba Cloud DNS",
            Self::ArvanCloud => "ArvanCloud",
            Self::AutoDns => "AutoDNS",
            Self::BaiduCloud => "Baidu AI Cloud",
            Self::Bunny => "Bunny",
            Self::ClouDns => "ClouDNS",
            Self::DigitalOcean => "DigitalOcean",
            Self::DnSimple => "DNSimple",
            Self::DnsMadeEasy => "DNS Made Easy",
            Self::Domeneshop => "Domeneshop",
            Self::DreamHost => "DreamHost",
            Self::Dynu => "Dynu",
            Self::EasyDns => "easyDNS",
            Self::Exoscale => "Exoscale",
            Self::Glesys => "GleSYS",
            Self::Hetzner => "Hetzner",
            Self::HostingDe => "hosting.de",
            Self::IbmCloud => "IBM Cloud (classic infrastructure)",
            Self::Infomaniak => "Infomaniak",
            Self::Inwx => "INWX",
            Self::Ionos => "IONOS",
            Self::Ipv64 => "IPv64.net",
            Self::Lightsail => "Amazon Lightsail",
            Self::Linode => "Linode",
            Self::LuaDns => "LuaDNS",
            Self::MythicBeasts => "Mythic Beasts",
            Self::NameDotCom => "Name.com",
            Self::NameSilo => "NameSilo",
            Self::Netcup => "netcup",
            Self::Netlify => "Netlify",
            Self::OracleCloud => "Oracle Cloud",
            Self::Ovh => "OVHcloud",
            Self::Porkbun => "Porkbun",
            Self::SafeDns => "ANS SafeDNS",
            Self::Scaleway => "Scaleway",
            Self::Simply => "Simply.com",
            Self::Spaceship => "Spaceship",
            Self::TencentCloud => "Tencent Cloud DNSPod",
            Self::TransIp => "TransIP",
            Self::Vercel => "Vercel",
            Self::Volcengine => "Volcengine",
            Self::Vultr => "Vultr",
            Self::Websupport => "Websupport",
            Self::YandexCloud => "Yandex Cloud",
            Self::ZoneEe => "Zone (zone.ee, zone.eu)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_named_as_manifests_have_it() {
        for name in ProviderName::ALL {
            assert_eq!(serde_json::to_value(name).unwrap(), name.word());
        }
    }
}
