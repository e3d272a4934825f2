//! Objects as cert-manager's users have them, and what is made of them.

use sancho_crds::{CertificateSpec, ClusterIssuerSpec};
use serde_json::json;

use super::*;

const FILE: &str = r#"
apiVersion: v1
kind: List
items:
  - apiVersion: cert-manager.io/v1
    kind: Certificate
    metadata:
      name: shop
      namespace: web
      labels: { team: shop }
      annotations: { note: of cert-manager's user }
      ownerReferences: [{ kind: Ingress, name: front }]
      resourceVersion: "5"
    spec:
      secretName: shop-tls
      commonName: shop.example
      dnsNames: [www.shop.example, shop.example]
      ipAddresses: [192.0.2.1, "2001:DB8::1", "2001:db8:0::1"]
      duration: 2160h0m0s
      renewBefore: 360h0m0s
      privateKey: { algorithm: RSA, encoding: PKCS1, size: 2048, rotationPolicy: Never }
      usages: [digital signature, key encipherment, code signing]
      revisionHistoryLimit: 1
      keystores:
        jks: { create: true, passwordSecretRef: { name: store, key: password }, alias: server }
        pkcs12: { create: true, passwordSecretRef: { name: store, key: password } }
      additionalOutputFormats: [{ type: CombinedPEM }, { type: DER }]
      secretTemplate:
        labels: { team: shop, controller.cert-manager.io/fao: "true" }
        annotations: { cert-manager.io/allow-direct-injection: "true" }
      issuerRef: { name: letsencrypt, kind: ClusterIssuer, group: cert-manager.io }
    status: { revision: 3 }
  - apiVersion: cert-manager.io/v1
    kind: Certificate
    metadata: { name: wild, namespace: web }
    spec: { secretName: wild, dnsNames: ["*.shop.example"], issuerRef: { name: letsencrypt } }
  - { apiVersion: v1, kind: ConfigMap, metadata: { name: other } }
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: { name: letsencrypt }
spec:
  acme:
    server: https://acme-v02.api.letsencrypt.org/directory
    email: ops@shop.example
    preferredChain: ISRG Root X1
    privateKeySecretRef: { name: account }
    externalAccountBinding: { keyID: me, keyAlgorithm: HS256, keySecretRef: { name: mac, key: secret } }
    solvers:
      - dns01: { route53: { region: eu } }
        selector: { dnsZones: [shop.example] }
      - http01:
          ingress:
            ingressClassName: nginx
            serviceType: NodePort
            podTemplate: { spec: { priorityClassName: high } }
            ingressTemplate: { metadata: { annotations: { example.com/timeout: "5" } } }
      - selector: { dnsNames: [a.shop.example], matchLabels: { team: shop } }
        http01: { gatewayHTTPRoute: { parentRefs: [{ name: front, namespace: infra }], labels: { team: shop } } }
      - selector: { dnsZones: [old.example] }
        http01: { ingress: { name: front } }
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: { name: own, namespace: web }
spec: { selfSigned: {} }
"#;

fn imported() -> Vec<Imported> {
    import(&objects(FILE).unwrap())
}

fn remarked(imported: &Imported, parts: &[&str]) {
    for part in parts {
        assert!(
            imported.remarks.iter().any(|remark| remark.contains(part)),
            "no {part:?} in {:#?}",
            imported.remarks
        );
    }
}

#[test]
fn issuers_come_first_and_what_is_not_cert_managers_is_left_out() {
    let from: Vec<String> = imported().into_iter().map(|one| one.from).collect();
    assert_eq!(
        from,
        [
            "ClusterIssuer letsencrypt",
            "Issuer web/own",
            "Certificate web/shop",
            "Certificate web/wild"
        ]
    );
}

#[test]
fn a_certificate_adopts_its_secret_and_tells_what_is_lost() {
    let shop = &imported()[2];
    let manifest = shop.manifest.clone().unwrap();
    let expected = json!({
        "apiVersion": "sancho.dev/v1alpha1",
        "kind": "Certificate",
        "metadata": {
            "name": "shop",
            "namespace": "web",
            "labels": { "team": "shop" },
            "annotations": { "sancho.dev/adopt": "true" },
        },
        "spec": {
            "secretName": "shop-tls",
            "issuerRef": { "name": "letsencrypt", "kind": "ClusterIssuer" },
            "dnsNames": ["shop.example", "www.shop.example"],
            "ipAddresses": ["192.0.2.1", "2001:db8::1"],
            "duration": "2160h0m0s",
            "renewBefore": "360h0m0s",
            "privateKey": { "algorithm": "RSA", "size": 2048, "rotationPolicy": "Never" },
            "additionalOutputFormats": [{ "type": "CombinedPEM" }, { "type": "DER" }],
            "keystores": {
                "pkcs12": { "create": true, "passwordSecretRef": { "name": "store", "key": "password" } },
                "jks": {
                    "create": true,
                    "passwordSecretRef": { "name": "store", "key": "password" },
                    "alias": "server",
                },
            },
            "secretTemplate": {
                "labels": { "team": "shop" },
                "annotations": { "cert-manager.io/allow-direct-injection": "true" },
            },
        },
    });
    assert_eq!(manifest, expected);
    serde_json::from_value::<CertificateSpec>(manifest["spec"].clone()).unwrap();
    remarked(
        shop,
        &[
            "spec.privateKey.encoding: PKCS1",
            "code signing",
            "cert-manager's default, LegacyRC2, does not carry over",
            "spec.secretTemplate.labels: controller.cert-manager.io/fao does not carry over",
            "from Ingress front",
            "delete cert-manager's",
            "metadata.annotations: note is left out",
        ],
    );
    assert_eq!(shop.remarks.len(), 7, "{:#?}", shop.remarks);
}

#[test]
fn what_sancho_cannot_do_is_not_imported_and_says_why() {
    let imported = imported();
    assert_eq!(imported[1].manifest, None);
    remarked(&imported[1], &["no ACME issuer"]);
    let wild = imported[3].manifest.as_ref().unwrap();
    assert_eq!(wild["spec"]["dnsNames"], json!(["*.shop.example"]));
    remarked(&imported[3], &["*.shop.example needs a solver with dns01"]);
}

#[test]
fn an_issuer_carries_over_and_its_solvers_are_told() {
    let issuer = &imported()[0];
    let spec = issuer.manifest.clone().unwrap()["spec"].clone();
    let acme = serde_json::from_value::<ClusterIssuerSpec>(spec).unwrap().acme;
    assert_eq!(acme.server, "https://acme-v02.api.letsencrypt.org/directory");
    assert_eq!(acme.email.as_deref(), Some("ops@shop.example"));
    assert_eq!(acme.private_key_secret_ref.name, "account");
    assert_eq!(acme.external_account_binding.unwrap().key_id, "me");
    remarked(
        issuer,
        &[
            "copy Secret account",
            "copy Secret mac",
            "spec.acme.preferredChain does not carry over",
            "spec.acme.solvers[0]: DNS-01 (route53)",
            "spec.acme.solvers[1].http01.ingress.serviceType does not carry over: Sancho runs no Pod",
            "spec.acme.solvers[1].http01.ingress.podTemplate does not carry over",
            "spec.acme.solvers[2].http01.gatewayHTTPRoute: the HTTPRoutes stand in the operator's namespace",
            "spec.acme.solvers[3].http01.ingress.name does not carry over",
        ],
    );
    assert_eq!(
        issuer.manifest.clone().unwrap()["spec"]["acme"]["solvers"],
        json!([
            { "http01": { "ingress": {
                "ingressClassName": "nginx",
                "ingressTemplate": { "metadata": { "annotations": { "example.com/timeout": "5" } } },
            } } },
            {
                "selector": { "dnsNames": ["a.shop.example"], "matchLabels": { "team": "shop" } },
                "http01": { "gatewayHTTPRoute": {
                    "parentRefs": [{ "name": "front", "namespace": "infra" }],
                    "labels": { "team": "shop" },
                } },
            },
            { "selector": { "dnsZones": ["old.example"] }, "http01": { "ingress": {} } },
        ])
    );
}

#[test]
fn an_issuer_without_a_solver_that_carries_over_answers_by_a_route_of_the_users() {
    let issuer = "{apiVersion: cert-manager.io/v1, kind: Issuer, metadata: {name: a}, spec: {acme: {server: \
                  https://ca.example, privateKeySecretRef: {name: a}, solvers: [{dns01: {route53: {}}}]}}}";
    let imported = import(&objects(issuer).unwrap()).remove(0);
    let solvers = &imported.manifest.clone().unwrap()["spec"]["acme"]["solvers"];
    assert_eq!(*solvers, json!([{ "http01": { "external": {} } }]));
    remarked(&imported, &["DNS-01 (route53)", "no solver carries over"]);
}

#[test]
fn the_text_can_be_applied_as_it_is() {
    let mut imported = imported();
    imported[1].remarks.push("two\nlines: [".into());
    let text = text(&imported).unwrap();
    assert!(
        text.contains("# from cert-manager's Issuer web/own: not imported\n"),
        "{text}"
    );
    let read = objects(&text).unwrap();
    let manifests: Vec<Value> = imported.into_iter().filter_map(|one| one.manifest).collect();
    assert_eq!(read, manifests);
}

#[test]
fn what_is_no_yaml_is_told_with_its_place() {
    let error = format!("{:#}", objects("a: 1\n---\nb: [").unwrap_err());
    assert!(error.contains("document 2 is no YAML"), "{error}");
}

#[test]
fn a_key_that_sancho_would_make_otherwise_is_told() {
    let key = |text: &str| {
        let certificate = format!(
            "{{apiVersion: cert-manager.io/v1, kind: Certificate, metadata: {{name: a}}, spec: {{secretName: a, \
             dnsNames: [a.example], issuerRef: {{name: ca}}, privateKey: {text}}}}}"
        );
        let imported = import(&objects(&certificate).unwrap()).remove(0);
        (
            imported.manifest.unwrap()["spec"]["privateKey"].clone(),
            imported.remarks,
        )
    };
    let (none, remarks) = key("{}");
    assert_eq!(none, Value::Null);
    assert!(remarks[0].contains("default is an RSA key"), "{remarks:?}");
    assert_eq!(
        key("{ size: 4096 }").0,
        json!({ "algorithm": "RSA", "size": 4096 })
    );
    let (large, remarks) = key("{ algorithm: ECDSA, size: 521 }");
    assert_eq!(large, json!({ "algorithm": "ECDSA" }));
    assert!(remarks[0].contains("no ECDSA keys of 521 bits"), "{remarks:?}");
}
