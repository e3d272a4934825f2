//! What the API server checks of names: schemas with CEL rules, each with a message that says how
//! to mend the manifest.
//!
//! The API server bounds what rules may cost, both by the worst case that a schema allows (10,000
//! names of 253 characters) and by what an object really costs. So the rules on a name are few,
//! linear, and without `split`.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// The most names in one Certificate.
const NAMES_MAX: usize = 10_000;
/// The most addresses in one Certificate.
const ADDRESSES_MAX: usize = 1_000;
/// The longest DNS name (RFC 1035 §3.1, without the final dot), and the longest object name.
const NAME_LENGTH_MAX: usize = 253;

/// Rule and message, in the order in which the API server reports them.
const DNS_NAME_RULES: [(&str, &str); 9] = [
    (
        "self.lastIndexOf('*') < 1 && (!self.startsWith('*') || self.startsWith('*.'))",
        "'*' may only be the leftmost label of a name, as in *.example.com",
    ),
    (
        "!self.contains('/') && !self.contains(':')",
        "neither a URL nor an IPv6 address is a DNS name: write the host name alone, without scheme, port and path, and addresses under spec.ipAddresses",
    ),
    (
        "!self.matches('(^|[.])[0-9]+$')",
        "an IP address is not a DNS name (the last label is a number): write addresses under spec.ipAddresses",
    ),
    (
        "self == self.lowerAscii()",
        "upper-case letters: write the name in lower case",
    ),
    (
        "!self.contains('_')",
        "an underscore cannot be in a host name: use a hyphen or another name",
    ),
    (
        "self.substring(self.startsWith('*.') ? 2 : 0).contains('.') && !self.endsWith('.')",
        "not a full name: write at least two labels and no dot at the end, as in www.example.com",
    ),
    (
        "!self.matches('[^.]{64}')",
        "a label, the part between two dots, has more than 63 characters: shorten it",
    ),
    (
        "!self.matches('^[.-]|[.][.-]|-[.]|-$')",
        "each label starts and ends with a letter or digit, with one dot between labels: remove the extra '-' or '.'",
    ),
    (
        "!self.matches('[^-a-zA-Z0-9._*/:]')",
        "a DNS name is made of letters, digits, '-' and '.' alone: remove the rest, and write other letters in their xn-- form (punycode)",
    ),
];

/// The rule on names of Kubernetes objects (RFC 1123 subdomain).
const OBJECT_NAME_RULE: (&str, &str) = (
    "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
    "not a name that Kubernetes takes: use lower-case letters, digits, '-' and '.', with a letter or digit before and after each '.' and at both ends",
);

/// Rules on the keys of labels and annotations that go to Secrets.
const TEMPLATE_KEY_RULES: [(&str, &str); 2] = [
    (
        "self.all(key, !key.startsWith('sancho.dev/') && !key.contains('.sancho.dev/'))",
        "keys of sancho.dev are written by Sancho itself: take them out",
    ),
    (
        "self.all(key, key.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
        "a key that Kubernetes does not take: write at most 63 letters, digits, '-', '_' and '.', and before them a domain and '/' if you like, as in example.com/team",
    ),
];

/// The rule on keys of cert-manager, which would take the Secret for its own.
const NOT_CERT_MANAGERS: &str =
    "keys of cert-manager.io tell cert-manager that the Secret is its own: take them out";

/// Labels that go to Secrets.
pub(crate) fn template_labels(_: &mut SchemaGenerator) -> Schema {
    let [own, syntax] = TEMPLATE_KEY_RULES;
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 63 },
        "x-kubernetes-validations": [
            rule(own),
            rule((
                "self.all(key, !key.startsWith('cert-manager.io/') && !key.contains('.cert-manager.io/'))",
                NOT_CERT_MANAGERS,
            )),
            rule(syntax),
            rule((
                "self.all(key, self[key].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$'))",
                "a label's value that Kubernetes does not take: write at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends",
            )),
        ],
    })
}

/// Annotations that go to Secrets.
pub(crate) fn template_annotations(_: &mut SchemaGenerator) -> Schema {
    let [own, syntax] = TEMPLATE_KEY_RULES;
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 2048 },
        "x-kubernetes-validations": [
            rule(own),
            rule((
                "self.all(key, key == 'cert-manager.io/allow-direct-injection' \
                 || !key.startsWith('cert-manager.io/') && !key.contains('.cert-manager.io/'))",
                NOT_CERT_MANAGERS,
            )),
            rule((
                "!('kubectl.kubernetes.io/last-applied-configuration' in self)",
                "kubectl.kubernetes.io/last-applied-configuration is kubectl's own: take it out",
            )),
            rule(syntax),
        ],
    })
}

/// All names of a Certificate, as one value: whoever applies the list last has said all of it. As a set
/// (`listType: set`) the API server would keep each name a second time, in `managedFields`, and a name that one manager
/// has taken out would stay while another still holds it. A name that stands there twice counts once.
pub(crate) fn dns_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "atomic",
        "maxItems": NAMES_MAX,
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": NAME_LENGTH_MAX,
            "x-kubernetes-validations": DNS_NAME_RULES.map(rule),
        },
    })
}

/// All addresses of a Certificate.
pub(crate) fn ip_addresses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "atomic",
        "maxItems": ADDRESSES_MAX,
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 45,
            "x-kubernetes-validations": [
                rule((
                    "isIP(self)",
                    "not an IP address: write one without brackets, port and prefix length, such as 192.0.2.1 or 2001:db8::1",
                )),
                rule((
                    "!isIP(self) || ip.isCanonical(self)",
                    "not how this address is written: write an IPv6 address in lower case, with its longest run of zeros left out, as in 2001:db8::1",
                )),
            ],
        },
    })
}

/// Some of a Certificate's names, which have been checked there. One value, too.
pub(crate) fn names_of_certificate(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "atomic",
        "minItems": 1,
        "maxItems": NAMES_MAX,
        "items": { "type": "string", "minLength": 1, "maxLength": NAME_LENGTH_MAX },
    })
}

/// The name of an object.
pub(crate) fn object_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": NAME_LENGTH_MAX,
        "x-kubernetes-validations": [rule(OBJECT_NAME_RULE)],
    })
}

/// The name of an object that may be left out.
pub(crate) fn optional_object_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "nullable": true,
        "minLength": 1,
        "maxLength": NAME_LENGTH_MAX,
        "x-kubernetes-validations": [rule(OBJECT_NAME_RULE)],
    })
}

/// Namespaces with `*`.
pub(crate) fn allowed_namespaces(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 256,
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 63,
            "x-kubernetes-validations": [rule((
                "self.matches('^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$')",
                "not a namespace's name: use lower-case letters, digits and '-', and '*' for any characters, as in team-*",
            ))],
        },
    })
}

/// Domains that have all names below them, and addresses.
pub(crate) fn allowed_domains(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 256,
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": NAME_LENGTH_MAX,
            "x-kubernetes-validations": [
                rule((
                    "!self.contains('*') && !self.startsWith('.')",
                    "a domain has all names below it: write the domain alone, as in example.com",
                )),
                rule((
                    "self.contains('*') || self.startsWith('.') || isIP(self) && ip.isCanonical(self) \
                     || !isIP(self) && self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
                    "neither a domain in lower case, such as example.com, nor an IP address as it is written in Certificates, such as 2001:db8::1",
                )),
            ],
        },
    })
}

/// Labels that go to Ingresses and HTTPRoutes.
pub(crate) fn route_labels(_: &mut SchemaGenerator) -> Schema {
    route_template(63)
}

/// Annotations that go to Ingresses.
pub(crate) fn route_annotations(_: &mut SchemaGenerator) -> Schema {
    route_template(4096)
}

/// What else there is to say of keys and values the API server says when the route is written.
fn route_template(longest: usize) -> Schema {
    let [own, _] = TEMPLATE_KEY_RULES;
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": longest },
        "x-kubernetes-validations": [rule(own)],
    })
}

/// The name of a CA's profile.
pub(crate) fn profile(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "nullable": true,
        "maxLength": 64,
        "x-kubernetes-validations": [rule((
            "self.matches('^[-A-Za-z0-9._]+$')",
            "not a profile's name: write one that the CA's directory has under meta.profiles, such as tlsserver, or leave it out",
        ))],
    })
}

/// A Go duration, more than zero and less than ten years.
pub(crate) fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "nullable": true,
        "maxLength": 32,
        "x-kubernetes-validations": [rule((
            "self.matches('^([0-9]{1,6}([.][0-9]{1,9})?(h|m|s))+$') \
             && duration(self) > duration('0s') && duration(self) < duration('87600h')",
            "not a usable duration: write numbers with the units h, m and s, more than zero and less than ten years, such as 720h or 1h30m (a day is 24h)",
        ))],
    })
}

fn rule((rule, message): (&str, &str)) -> Value {
    json!({ "rule": rule, "message": message })
}
