//! Manifests, and what the API server says of them.

use super::written::{
    allowed, budget, certificate, groups, issuer, many_names, names, namespaced_issuer, with,
};

/// What a manifest is, the manifest, and a part of the API server's answer.
pub type Refused = (&'static str, String, &'static str);

pub fn refused_certificates() -> Vec<Refused> {
    vec![
        (
            "no names",
            names(&[]),
            "Invalid value: no names: list at least one host name in spec.dnsNames, or one address in spec.ipAddresses",
        ),
        (
            "names left out",
            certificate("secretName: web-tls\nissuerRef: { name: ca }"),
            "no names: list at least one host name in spec.dnsNames, or one address in spec.ipAddresses",
        ),
        (
            "10,001 names",
            many_names(10_001, 40),
            "spec.dnsNames: Too many: 10001: must have at most 10000 items",
        ),
        (
            "'*' in the middle",
            names(&["www.*.example.com"]),
            r#"spec.dnsNames[0]: Invalid value: "www.*.example.com": '*' may only be the leftmost label"#,
        ),
        (
            "'*' at a label's end",
            names(&["a*.example.com"]),
            "'*' may only be the leftmost label",
        ),
        (
            "two '*'",
            names(&["www.example.com", "*.*.example.com"]),
            r#"spec.dnsNames[1]: Invalid value: "*.*.example.com": '*' may only be the leftmost label"#,
        ),
        (
            "a wildcard of one label",
            names(&["*.com"]),
            "not a full name: write at least two labels",
        ),
        (
            "an IPv4 address",
            names(&["192.0.2.1"]),
            "an IP address is not a DNS name (the last label is a number): write addresses under spec.ipAddresses",
        ),
        (
            "an IPv6 address",
            names(&["2001:db8::1"]),
            "neither a URL nor an IPv6 address is a DNS name",
        ),
        (
            "a URL",
            names(&["https://www.example.com/"]),
            "neither a URL nor an IPv6 address is a DNS name: write the host name alone, without scheme, port and path",
        ),
        (
            "a port",
            names(&["www.example.com:443"]),
            "write the host name alone, without scheme, port and path",
        ),
        (
            "upper case",
            names(&["WWW.example.com"]),
            r#""WWW.example.com": upper-case letters: write the name in lower case"#,
        ),
        (
            "an underscore",
            names(&["a_b.example.com"]),
            "an underscore cannot be in a host name: use a hyphen or another name",
        ),
        (
            "a label of 64 characters",
            names(&[&format!("{}.example.com", "a".repeat(64))]),
            "a label, the part between two dots, has more than 63 characters: shorten it",
        ),
        (
            "a name of 254 characters",
            names(&[&format!(
                "{}ab.cd",
                format!("{}.", "a".repeat(61)).repeat(4) + "x"
            )]),
            "spec.dnsNames[0]: Too long: may not be more than 253 bytes",
        ),
        (
            "a single label",
            names(&["localhost"]),
            "not a full name: write at least two labels and no dot at the end",
        ),
        (
            "a dot at the end",
            names(&["www.example.com."]),
            "not a full name: write at least two labels and no dot at the end",
        ),
        (
            "two dots",
            names(&["www..example.com"]),
            "with one dot between labels: remove the extra '-' or '.'",
        ),
        (
            "a hyphen first",
            names(&["-www.example.com"]),
            "each label starts and ends with a letter or digit",
        ),
        (
            "a hyphen before a dot",
            names(&["www-.example.com"]),
            "each label starts and ends with a letter or digit",
        ),
        (
            "a letter outside ASCII",
            names(&["bücher.example.com"]),
            "write other letters in their xn-- form (punycode)",
        ),
        (
            "a space",
            names(&["a b.example.com"]),
            "made of letters, digits, '-' and '.' alone",
        ),
        (
            "an empty name",
            names(&[""]),
            "spec.dnsNames[0] in body should be at least 1 chars long",
        ),
        (
            "a secretName that is none",
            certificate("secretName: Web_TLS\nissuerRef: { name: ca }\ndnsNames: [www.example.com]"),
            r#"spec.secretName: Invalid value: "Web_TLS": not a name that Kubernetes takes: use lower-case letters"#,
        ),
        (
            "a secretName without room for the shards' numbers",
            certificate(&format!(
                "secretName: {}\nissuerRef: {{ name: ca }}\ndnsNames: [www.example.com]",
                "a".repeat(181)
            )),
            "more than 180 characters: shorten it, Sancho appends to it for each shard",
        ),
        (
            "a name without room for the shards' numbers",
            names(&["www.example.com"]).replace("name: web,", &format!("name: {},", "a".repeat(181))),
            "metadata.name has more than 180 characters: shorten it",
        ),
        (
            "an unknown issuer kind",
            certificate(
                "secretName: web-tls\nissuerRef: { name: ca, kind: Vault }\ndnsNames: [www.example.com]",
            ),
            r#"spec.issuerRef.kind: Unsupported value: "Vault": supported values: "Issuer", "ClusterIssuer""#,
        ),
        (
            "days in renewBefore",
            with("renewBefore: 30d"),
            "write numbers with the units h, m and s",
        ),
        (
            "a renewBefore of nothing",
            with("renewBefore: 0s"),
            "more than zero and less than ten years",
        ),
        (
            "a renewBefore of a century",
            with("renewBefore: 876000h"),
            "more than zero and less than ten years",
        ),
        (
            "days in duration",
            with("duration: 90d"),
            "spec.duration: Invalid value: \"90d\": not a usable duration: write numbers with the units h, m and s",
        ),
        (
            "a renewBefore as long as the duration",
            with("duration: 60m\nrenewBefore: 1h"),
            "spec.renewBefore is not shorter than spec.duration, so certificates would be renewed without end: make it shorter",
        ),
        (
            "a percentage of nothing",
            with("renewBeforePercentage: 0"),
            "spec.renewBeforePercentage: Invalid value: 0: must be a whole number of percent of the lifetime from 1 to 99",
        ),
        (
            "all of the lifetime as a percentage",
            with("renewBeforePercentage: 100"),
            "must be a whole number of percent of the lifetime from 1 to 99",
        ),
        (
            "renewBefore in two ways",
            with("renewBefore: 1h\nrenewBeforePercentage: 33"),
            "spec.renewBefore and spec.renewBeforePercentage say the same in two ways: remove one of them",
        ),
        (
            "a profile that cannot be one",
            with("profile: tls server"),
            "spec.profile: Invalid value: \"tls server\": not a profile's name: write one that the CA's directory has",
        ),
        (
            "shards of no names",
            with("sharding: { maxNames: 0 }"),
            "spec.sharding.maxNames in body should be greater than or equal to 1",
        ),
        (
            "shards of 101 names",
            with("sharding: { maxNames: 101 }"),
            "spec.sharding.maxNames in body should be less than or equal to 100",
        ),
        (
            "an unknown strategy",
            with("sharding: { strategy: Random }"),
            r#"spec.sharding.strategy: Unsupported value: "Random": supported values: "Fill", "RegisteredDomain""#,
        ),
        (
            "an unknown policy",
            with("policy: Lenient"),
            r#"spec.policy: Unsupported value: "Lenient": supported values: "Quarantine", "Strict""#,
        ),
        (
            "a group that is a number",
            groups(&["1"]),
            "a group's name needs a letter",
        ),
        (
            "a group in upper case",
            groups(&["EU"]),
            r#""EU": not a DNS label: use lower-case letters"#,
        ),
        (
            "two groups of one name",
            groups(&["eu", "eu"]),
            r#"spec.sharding.groups[1]: Duplicate value: {"name":"eu"}"#,
        ),
        (
            "a group like another's second shard",
            groups(&["eu", "eu-1"]),
            "a group is called like a later shard of another (group a-1 beside group a)",
        ),
        (
            "a key's size without its algorithm",
            with("privateKey: { size: 2048 }"),
            "spec.privateKey: Invalid value: size without algorithm: write ECDSA or RSA as algorithm too",
        ),
        (
            "an ECDSA key that no CA takes",
            with("privateKey: { algorithm: ECDSA, size: 521 }"),
            "an ECDSA key's size is 256 or 384: write one of them, or leave size out for 256",
        ),
        (
            "an RSA key that is too short",
            with("privateKey: { algorithm: RSA, size: 1024 }"),
            "an RSA key's size is 2048, 3072 or 4096: write one of them, or leave size out for 2048",
        ),
        (
            "an Ed25519 key with a size",
            with("privateKey: { algorithm: Ed25519, size: 256 }"),
            "an Ed25519 key has one size only: leave size out",
        ),
        (
            "an algorithm that does not exist",
            with("privateKey: { algorithm: DSA }"),
            "spec.privateKey.algorithm: Unsupported value: \"DSA\": supported values: \"ECDSA\", \"RSA\", \"Ed25519\"",
        ),
        (
            "an address that is none",
            with("ipAddresses: [\"192.0.2.1/32\"]"),
            "spec.ipAddresses[0]: Invalid value: \"192.0.2.1/32\": not an IP address: write one without brackets",
        ),
        (
            "an address in upper case",
            with("ipAddresses: [\"2001:DB8::1\"]"),
            "not how this address is written: write an IPv6 address in lower case",
        ),
        (
            "an address with all its zeros",
            with("ipAddresses: [\"2001:db8:0:0:0:0:0:1\"]"),
            "not how this address is written: write an IPv6 address in lower case",
        ),
        (
            "an IPv4 address as an IPv6 one",
            with("ipAddresses: [\"::ffff:192.0.2.1\"]"),
            "not an IP address: write one without brackets",
        ),
        (
            "a label of Sancho's own",
            with("secretTemplate: { labels: { sancho.dev/certificate: web } }"),
            "spec.secretTemplate.labels: Invalid value: keys of sancho.dev are written by Sancho itself: take them out",
        ),
        (
            "an annotation of Sancho's own",
            with("secretTemplate: { annotations: { budget.sancho.dev/summary: none } }"),
            "spec.secretTemplate.annotations: Invalid value: keys of sancho.dev are written by Sancho itself",
        ),
        (
            "an annotation of cert-manager",
            with("secretTemplate: { annotations: { cert-manager.io/certificate-name: web } }"),
            "keys of cert-manager.io tell cert-manager that the Secret is its own: take them out",
        ),
        (
            "a label of cert-manager",
            with("secretTemplate: { labels: { controller.cert-manager.io/fao: \"true\" } }"),
            "keys of cert-manager.io tell cert-manager that the Secret is its own: take them out",
        ),
        (
            "kubectl's annotation",
            with(
                "secretTemplate: { annotations: { kubectl.kubernetes.io/last-applied-configuration: \"{}\" } }",
            ),
            "kubectl.kubernetes.io/last-applied-configuration is kubectl's own: take it out",
        ),
        (
            "a key with two slashes",
            with("secretTemplate: { annotations: { a/b/c: x } }"),
            "a key that Kubernetes does not take: write at most 63 letters, digits",
        ),
        (
            "an output format that does not exist",
            with("additionalOutputFormats: [{ type: PEM }]"),
            "spec.additionalOutputFormats[0].type: Unsupported value: \"PEM\": supported values: \"CombinedPEM\", \"DER\"",
        ),
        (
            "an output format twice",
            with("additionalOutputFormats: [{ type: DER }, { type: DER }]"),
            "spec.additionalOutputFormats[1]: Duplicate value",
        ),
        (
            "a keystore without a password",
            with("keystores: { pkcs12: { create: true } }"),
            "spec.keystores.pkcs12.passwordSecretRef: Required value",
        ),
        (
            "a keystore with weak encryption",
            with(
                "keystores: { pkcs12: { create: true, passwordSecretRef: { name: a }, profile: LegacyRC2 } }",
            ),
            "spec.keystores.pkcs12.profile: Unsupported value: \"LegacyRC2\": supported values: \"Modern2023\"",
        ),
        (
            "a keystore of Java's whose entry has no name",
            with("keystores: { jks: { create: true, passwordSecretRef: { name: a }, alias: '' } }"),
            "spec.keystores.jks.alias",
        ),
        (
            "a label's value with a space",
            with("secretTemplate: { labels: { team: a b } }"),
            "a label's value that Kubernetes does not take: write at most 63 letters, digits",
        ),
    ]
}

pub fn refused_issuers() -> Vec<Refused> {
    vec![
        (
            "http",
            issuer("server", "http://ca.example.com/directory"),
            "spec.acme.server: Invalid value: \"http://ca.example.com/directory\": the CA's directory must be reached by https, on loopback too: write https://",
        ),
        (
            "http on loopback",
            issuer("server", "http://127.0.0.1:14000/dir"),
            "must be reached by https, on loopback too",
        ),
        (
            "a server without a host",
            issuer("server", "https:///dir"),
            "write the directory's full URL",
        ),
        (
            "a server with a password",
            issuer("server", "https://a:b@ca.example.com/dir"),
            "without user name and fragment",
        ),
        (
            "a mailto: URL",
            issuer("email", "mailto:ops@example.com"),
            "write one alone, without mailto:",
        ),
        (
            "PEM in place of base64",
            issuer("caBundle", r"-----BEGIN CERTIFICATE-----"),
            "not base64: write the PEM file as one line, as `base64 -w0 ca.pem` prints it",
        ),
        (
            "an account Secret's name that is none",
            issuer("privateKeySecretRef", "{ name: Account Key }"),
            "spec.acme.privateKeySecretRef.name: Invalid value: \"Account Key\": not a name that Kubernetes takes",
        ),
        (
            "no solvers",
            issuer("solvers", "[]"),
            "spec.acme.solvers in body should have at least 1 items",
        ),
        (
            "a solver that does not exist yet",
            issuer("solvers", "[{ http01: { tlsAlpn: {} } }]"),
            "say in one way how challenges reach Sancho: ingress: { ingressClassName: … }",
        ),
        (
            "a solver with two ways",
            issuer("solvers", "[{ http01: { external: {}, ingress: {} } }]"),
            "say in one way how challenges reach Sancho",
        ),
        (
            "an Ingress with a class said twice",
            issuer(
                "solvers",
                "[{ http01: { ingress: { class: nginx, ingressClassName: nginx } } }]",
            ),
            "leave out either it or ingressClassName",
        ),
        (
            "an Ingress with one of Sancho's own labels",
            issuer(
                "solvers",
                "[{ http01: { ingress: { ingressTemplate: { metadata: { labels: { sancho.dev/shard: a } } } } } }]",
            ),
            "keys of sancho.dev are written by Sancho itself",
        ),
        (
            "HTTPRoutes without a Gateway",
            issuer(
                "solvers",
                "[{ http01: { gatewayHTTPRoute: { parentRefs: [] } } }]",
            ),
            "spec.acme.solvers[0].http01.gatewayHTTPRoute.parentRefs",
        ),
        (
            "a solver without a way",
            issuer("solvers", "[{ selector: { dnsZones: [example.com] } }]"),
            "a solver answers in one way: write http01: { external: {} }, or dns01: { rfc2136: … }, or dnsPersist01: {}",
        ),
        (
            "a solver with two ways",
            issuer(
                "solvers",
                "[{ http01: { external: {} }, dns01: { rfc2136: { nameserver: 192.0.2.53 } } }]",
            ),
            "a solver answers in one way",
        ),
        (
            "a solver with a standing record and another way",
            issuer(
                "solvers",
                "[{ dnsPersist01: {}, dns01: { rfc2136: { nameserver: 192.0.2.53 } } }]",
            ),
            "a solver answers in one way",
        ),
        (
            "a standing record that is good until some day",
            issuer("solvers", "[{ dnsPersist01: { persistUntil: some day } }]"),
            "spec.acme.solvers[0].dnsPersist01.persistUntil in body must be of type date-time",
        ),
        (
            "no way by DNS",
            issuer("solvers", "[{ dns01: {} }]"),
            "say in one way how records are written: rfc2136",
        ),
        (
            "two ways by DNS",
            issuer(
                "solvers",
                "[{ dns01: { rfc2136: { nameserver: 192.0.2.53 }, cloudflare: { apiTokenSecretRef: { name: a, key: b } } } }]",
            ),
            "say in one way how records are written: rfc2136",
        ),
        (
            "CNAMEs that are followed somehow",
            issuer(
                "solvers",
                "[{ dns01: { cnameStrategy: Always, rfc2136: { nameserver: 192.0.2.53 } } }]",
            ),
            "supported values: \"None\", \"Follow\"",
        ),
        (
            "Cloudflare without a credential",
            issuer("solvers", "[{ dns01: { cloudflare: {} } }]"),
            "name one credential: apiTokenSecretRef with an API token",
        ),
        (
            "a global key of nobody",
            issuer(
                "solvers",
                "[{ dns01: { cloudflare: { apiKeySecretRef: { name: a, key: b } } } }]",
            ),
            "write its email beside apiKeySecretRef",
        ),
        (
            "a provider that nobody knows",
            issuer(
                "solvers",
                "[{ dns01: { provider: { name: nobody, tokenSecretRef: { name: a, key: b } } } }]",
            ),
            "supported values: \"alidns\"",
        ),
        (
            "DNSimple without its account",
            issuer(
                "solvers",
                "[{ dns01: { provider: { name: dnsimple, tokenSecretRef: { name: a, key: b } } } }]",
            ),
            "account goes with the names that need one",
        ),
        (
            "an account of a provider that has none",
            issuer(
                "solvers",
                "[{ dns01: { provider: { name: vultr, account: '1', tokenSecretRef: { name: a, key: b } } } }]",
            ),
            "or take it out",
        ),
        (
            "ambient credentials of AWS",
            issuer("solvers", "[{ dns01: { route53: { region: eu-central-1 } } }]"),
            "Sancho has no ambient credentials (IRSA, Pod Identity, instance profiles) and assumes no role",
        ),
        (
            "ambient credentials of Google Cloud",
            issuer("solvers", "[{ dns01: { cloudDNS: { project: my-project } } }]"),
            "Sancho has no ambient credentials (Workload Identity, metadata servers)",
        ),
        (
            "ambient credentials of Azure",
            issuer(
                "solvers",
                "[{ dns01: { azureDNS: { subscriptionID: a, resourceGroupName: b } } }]",
            ),
            "Sancho has no ambient credentials (managed identities, workload identity)",
        ),
        (
            "a webhook in a group of Kubernetes' own",
            issuer(
                "solvers",
                "[{ dns01: { webhook: { groupName: rbac.authorization.k8s.io, solverName: clusterroles } } }]",
            ),
            "not a webhook's API group: write the one that it was installed with",
        ),
        (
            "a webhook whose solver is a path",
            issuer(
                "solvers",
                "[{ dns01: { webhook: { groupName: acme.example.com, solverName: a/b } } }]",
            ),
            "not a solver's name",
        ),
        (
            "acme-dns without TLS",
            issuer(
                "solvers",
                "[{ dns01: { acmeDNS: { host: 'http://auth.example.com', accountSecretRef: { name: a, key: b } } } }]",
            ),
            "acme-dns must be reached by https",
        ),
        (
            "a hosted zone that is a name",
            issuer(
                "solvers",
                "[{ dns01: { route53: { hostedZoneID: example.com, accessKeyID: AKIAIOSFODNN7EXAMPLE, \
                 secretAccessKeySecretRef: { name: a, key: b } } } }]",
            ),
            "not the ID of a hosted zone: write it as in Z2FDTNDATAQYW2",
        ),
        (
            "a TSIG key without its Secret",
            issuer(
                "solvers",
                "[{ dns01: { rfc2136: { nameserver: 192.0.2.53, tsigKeyName: sancho } } }]",
            ),
            "tsigKeyName and tsigSecretSecretRef belong together: write both",
        ),
        (
            "a TSIG algorithm of old",
            issuer(
                "solvers",
                "[{ dns01: { rfc2136: { nameserver: 192.0.2.53, tsigAlgorithm: HMACMD5 } } }]",
            ),
            "supported values: \"HMACSHA256\", \"HMACSHA384\", \"HMACSHA512\"",
        ),
        (
            "a nameserver that is a URL",
            issuer(
                "solvers",
                "[{ dns01: { rfc2136: { nameserver: \"dns://192.0.2.53\" } } }]",
            ),
            "an address or a host name, with the port if it is not 53",
        ),
        (
            "an Issuer that chooses annotations in the operator's namespace",
            namespaced_issuer(
                "[{ http01: { ingress: { ingressTemplate: { metadata: { annotations: { a: b } } } } } }]",
            ),
            "take ingressTemplate out, or use a ClusterIssuer",
        ),
        (
            "a zone with a wildcard",
            issuer(
                "solvers",
                "[{ selector: { dnsZones: ['*.example.com'] }, http01: { external: {} } }]",
            ),
            "a zone has all names below it: write the domain alone, as in example.com",
        ),
        (
            "an issuer that allows nothing in particular",
            allowed(""),
            "it says nothing: write namespaces, domains or both, or take allowed out",
        ),
        (
            "an issuer for a namespace that cannot be",
            allowed("namespaces: [Shop]"),
            "spec.allowed.namespaces[0]: Invalid value: \"Shop\": not a namespace's name",
        ),
        (
            "an issuer for no domain",
            allowed("domains: []"),
            "spec.allowed.domains",
        ),
        (
            "an issuer for a wildcard",
            allowed("domains: ['*.example.com']"),
            "a domain has all names below it: write the domain alone, as in example.com",
        ),
        (
            "an issuer for a domain in upper case",
            allowed("domains: [example.com, Example.org]"),
            "spec.allowed.domains[1]: Invalid value: \"Example.org\": neither a domain in lower case",
        ),
        (
            "an issuer for an address that is written in another way",
            allowed("domains: ['2001:DB8::1']"),
            "nor an IP address as it is written in Certificates",
        ),
        (
            "an empty profile",
            issuer("profile", "\"\""),
            "spec.acme.profile: Invalid value: \"\": not a profile's name",
        ),
        (
            "a word about the self-check that does not exist",
            issuer("solvers", "[{ http01: { external: {}, selfCheck: Never } }]"),
            "spec.acme.solvers[0].http01.selfCheck: Unsupported value: \"Never\": supported values: \"Enabled\", \"Disabled\"",
        ),
        (
            "certificates of no names",
            issuer("maxNames", "0"),
            "spec.acme.maxNames in body should be greater than or equal to 1",
        ),
        (
            "a negative rate",
            budget("requestsPerSecond: -1"),
            "spec.budget.requestsPerSecond: Invalid value: -1: must be from 0.01 to 1000 requests a second",
        ),
        (
            "a rate of nothing",
            budget("requestsPerSecond: 0"),
            "must be from 0.01 to 1000 requests a second",
        ),
        (
            "an absurd rate",
            budget("requestsPerSecond: 100000"),
            "must be from 0.01 to 1000 requests a second",
        ),
        (
            "a negative burst",
            budget("burst: -1"),
            "spec.budget.burst in body should be greater than or equal to 0",
        ),
        (
            "an absurd burst",
            budget("burst: 100000"),
            "spec.budget.burst in body should be less than or equal to 1000",
        ),
        (
            "nothing in flight",
            budget("maxInFlight: 0"),
            "spec.budget.maxInFlight in body should be greater than or equal to 1",
        ),
    ]
}

/// What a manifest is, and the manifest.
pub fn accepted() -> Vec<(&'static str, String)> {
    vec![
        ("one name", names(&["www.example.com"])),
        (
            "wildcards",
            names(&["*.example.com", "example.com", "*.a.example.com"]),
        ),
        (
            "a solver by DNS",
            issuer(
                "solvers",
                "[{ dns01: { rfc2136: { nameserver: \"[2001:db8::53]:5353\", protocol: TCP, tsigKeyName: sancho, \
                 tsigAlgorithm: HMACSHA512, tsigSecretSecretRef: { name: tsig, key: key } } } }]",
            ),
        ),
        (
            "solvers by standing records",
            issuer(
                "solvers",
                "[{ dnsPersist01: {} }, { selector: { dnsZones: [example.com] }, \
                 dnsPersist01: { persistUntil: \"2030-01-01T00:00:00Z\" } }]",
            ),
        ),
        (
            "a solver by Cloudflare",
            issuer(
                "solvers",
                "[{ dns01: { cloudflare: { apiTokenSecretRef: { name: token, key: token } } } }]",
            ),
        ),
        (
            "solvers by all other ways",
            issuer(
                "solvers",
                "[{ dns01: { cnameStrategy: None, cloudDNS: { project: my-project, hostedZoneName: zone, \
                 serviceAccountSecretRef: { name: a, key: b } } } }, \
                 { dns01: { azureDNS: { subscriptionID: a, resourceGroupName: b, environment: AzureChinaCloud, tenantID: c, \
                 clientID: d, clientSecretSecretRef: { name: a, key: b } } } }, \
                 { dns01: { cnameStrategy: Follow, httpreq: { secretRef: { name: a } } } }, \
                 { dns01: { provider: { name: hetzner, tokenSecretRef: { name: a, key: b } } } }, \
                 { dns01: { provider: { name: dnsimple, account: '1010', tokenSecretRef: { name: a, key: b } } } }, \
                 { dns01: { webhook: { groupName: acme.example.com, solverName: own, config: { a: [{ b: 1 }] } } } }, \
                 { dns01: { acmeDNS: { host: auth.acme-dns.io, accountSecretRef: { name: a, key: b } } } }]",
            ),
        ),
        (
            "a solver by Route 53",
            issuer(
                "solvers",
                "[{ dns01: { route53: { region: us-east-1, hostedZoneID: /hostedzone/Z2FDTNDATAQYW2, \
                 accessKeyIDSecretRef: { name: aws, key: id }, secretAccessKeySecretRef: { name: aws, key: key } } } }]",
            ),
        ),
        (
            "a label of 63 characters",
            names(&[&format!("{}.example.com", "a".repeat(63))]),
        ),
        (
            "a name of 253 characters",
            names(&[&format!("{}ab.cd", format!("{}.", "a".repeat(61)).repeat(4))]),
        ),
        ("punycode", names(&["xn--bcher-kva.example.com"])),
        ("digits and hyphens", names(&["1-2--3.4.example.com"])),
        ("a renewBefore", with("renewBefore: 1h30m")),
        ("a duration", with("duration: 2160h\nrenewBefore: 720h")),
        ("a renewBeforePercentage", with("renewBeforePercentage: 33")),
        ("a profile", with("profile: tlsserver")),
        ("an issuer's profile", issuer("profile", "shortlived")),
        (
            "an RSA key that is kept",
            with("privateKey: { algorithm: RSA, size: 4096, rotationPolicy: Never }"),
        ),
        (
            "a template",
            with(
                "secretTemplate: { labels: { team: a.b_c, notsancho.dev/x: \"\" }, \
                 annotations: { cert-manager.io/allow-direct-injection: \"true\", example.com/note: \"a b\" } }",
            ),
        ),
        (
            "both output formats",
            with("additionalOutputFormats: [{ type: DER }, { type: CombinedPEM }]"),
        ),
        (
            "a keystore",
            with(
                "keystores: { pkcs12: { create: true, passwordSecretRef: { name: a, key: b }, profile: Modern2023 } }",
            ),
        ),
        (
            "a keystore of Java's",
            with("keystores: { jks: { create: true, passwordSecretRef: { name: a }, alias: server } }"),
        ),
        (
            "addresses beside names",
            with("ipAddresses: [192.0.2.1, \"2001:db8::1\", \"::1\"]"),
        ),
        (
            "addresses alone",
            certificate("secretName: web-tls\nissuerRef: { name: ca }\nipAddresses: [192.0.2.1]"),
        ),
        ("groups", groups(&["eu", "eu-west", "us1"])),
        (
            "a shard for each registered domain",
            with("sharding: { maxNames: 100, strategy: RegisteredDomain }"),
        ),
        (
            "solvers that write routes",
            issuer(
                "solvers",
                "[{ http01: { ingress: { ingressClassName: nginx, ingressTemplate: { metadata: { labels: { team: shop }, \
                 annotations: { example.com/timeout: \"5\" } } } }, selfCheck: Disabled } }, { selector: { dnsZones: \
                 [example.com] }, http01: { gatewayHTTPRoute: { parentRefs: [{ name: front, namespace: infra, \
                 sectionName: http, port: 80 }], labels: { team: shop } } } }, { http01: { ingress: { class: old } } }]",
            ),
        ),
        ("an issuer with all there is", issuer("email", "ops@example.com")),
        (
            "a budget",
            budget("requestsPerSecond: 0.5, burst: 0, maxInFlight: 1"),
        ),
        ("a whole number for a rate", budget("requestsPerSecond: 5")),
        (
            "an issuer for some",
            allowed(
                "namespaces: [shop, team-*, '*'], domains: [example.com, internal, 192.0.2.1, '2001:db8::1']",
            ),
        ),
    ]
}
