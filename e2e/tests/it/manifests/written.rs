//! Manifests as text, good but for one thing.

/// A Certificate with these lines as its spec.
pub fn certificate(spec: &str) -> String {
    format!(
        "apiVersion: sancho.dev/v1alpha1\nkind: Certificate\nmetadata: {{ name: web, namespace: default }}\n\
         spec:\n{}",
        indented(spec, 2)
    )
}

/// A good Certificate, apart from its names.
pub fn names(names: &[&str]) -> String {
    let list = serde_json::to_string(names).unwrap();
    certificate(&format!(
        "secretName: web-tls\nissuerRef: {{ name: ca, kind: ClusterIssuer }}\ndnsNames: {list}"
    ))
}

/// A good Certificate and one line more in its spec.
pub fn with(line: &str) -> String {
    certificate(&format!(
        "secretName: web-tls\nissuerRef: {{ name: ca }}\ndnsNames: [www.example.com]\n{line}"
    ))
}

/// A good Certificate, apart from its groups' names.
pub fn groups(names: &[&str]) -> String {
    let groups: Vec<_> = names
        .iter()
        .map(|name| format!("{{ name: \"{name}\", dnsNames: [www.example.com] }}"))
        .collect();
    with(&format!("sharding: {{ groups: [{}] }}", groups.join(", ")))
}

/// A good ClusterIssuer, apart from one field of `spec.acme`.
pub fn issuer(field: &str, value: &str) -> String {
    let mut fields = vec![
        ("server", "https://ca.example.com/directory"),
        ("privateKeySecretRef", "{ name: ca-account }"),
        ("solvers", "[{ http01: { external: {} } }]"),
    ];
    fields.retain(|(known, _)| *known != field);
    fields.push((field, value));
    let lines: Vec<_> = fields
        .iter()
        .map(|(field, value)| format!("{field}: {value}"))
        .collect();
    cluster_issuer(&format!("acme:\n{}", indented(&lines.join("\n"), 2)))
}

/// A good Issuer, apart from its solvers.
pub fn namespaced_issuer(solvers: &str) -> String {
    format!(
        "apiVersion: sancho.dev/v1alpha1\nkind: Issuer\nmetadata: {{ name: ca, namespace: default }}\nspec:\n  acme:\n    \
         server: https://ca.example.com/directory\n    privateKeySecretRef: {{ name: ca-account }}\n    solvers: {solvers}\n"
    )
}

/// A good ClusterIssuer, apart from whom it allows.
pub fn allowed(fields: &str) -> String {
    budget("").replace("budget: {  }", &format!("allowed: {{ {fields} }}"))
}

/// A good ClusterIssuer, apart from its budget.
pub fn budget(fields: &str) -> String {
    cluster_issuer(&format!(
        "acme:\n  server: https://ca.example.com/directory\n  privateKeySecretRef: {{ name: ca-account }}\n  \
         solvers: [{{ http01: {{ external: {{}} }} }}]\nbudget: {{ {fields} }}"
    ))
}

fn cluster_issuer(spec: &str) -> String {
    format!(
        "apiVersion: sancho.dev/v1alpha1\nkind: ClusterIssuer\nmetadata: {{ name: ca }}\nspec:\n{}",
        indented(spec, 2)
    )
}

/// A good Certificate but for the number of its names, which have so many characters each.
pub fn many_names(count: usize, length: usize) -> String {
    let tail = ".shop.example.com";
    let width = length - tail.len();
    let all: Vec<_> = (0..count)
        .map(|number| {
            let mut head = format!("{number:a>width$}");
            // A label has up to 63 characters.
            for dot in (60..width.saturating_sub(10)).step_by(61) {
                head.replace_range(dot..=dot, ".");
            }
            head + tail
        })
        .collect();
    names(&all.iter().map(String::as_str).collect::<Vec<_>>())
}

fn indented(text: &str, columns: usize) -> String {
    text.lines()
        .map(|line| format!("{:columns$}{line}\n", ""))
        .collect()
}
