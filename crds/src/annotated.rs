//! What may stand on an Ingress or a Gateway to have Certificates made for it.

/// The ClusterIssuer that certifies the object's names.
pub const CLUSTER_ISSUER_ANNOTATION: &str = "sancho.dev/cluster-issuer";

/// The Issuer of the object's own namespace that does.
pub const ISSUER_ANNOTATION: &str = "sancho.dev/issuer";

/// `spec.duration` of the Certificates.
pub const DURATION_ANNOTATION: &str = "sancho.dev/duration";

/// `spec.renewBefore` of the Certificates.
pub const RENEW_BEFORE_ANNOTATION: &str = "sancho.dev/renew-before";

/// `spec.profile` of the Certificates.
pub const PROFILE_ANNOTATION: &str = "sancho.dev/profile";

/// `spec.privateKey.algorithm` of the Certificates.
pub const KEY_ALGORITHM_ANNOTATION: &str = "sancho.dev/private-key-algorithm";

/// `spec.privateKey.size` of the Certificates.
pub const KEY_SIZE_ANNOTATION: &str = "sancho.dev/private-key-size";

/// `spec.privateKey.rotationPolicy` of the Certificates.
pub const KEY_ROTATION_ANNOTATION: &str = "sancho.dev/private-key-rotation-policy";

/// On a Certificate that was made for an Ingress or a Gateway: which kind of the two. The object itself is its owner.
pub const MADE_FOR_LABEL: &str = "sancho.dev/made-for";
