//! Names that an installation, the engine in it and the program's other commands must spell alike.

/// The namespace of an installation.
pub const NAMESPACE: &str = "fixpoint-system";
/// The Lease that the leader holds; also the Deployment, its ServiceAccount and its Service.
pub const NAME: &str = "fixpoint";
/// The ConfigMap that says where the engine's own API is and which authority signed for it.
pub const ENGINE: &str = "fixpoint-engine";
/// The ServiceAccount whose tokens read the engine's own API.
pub const READER: &str = "fixpoint-reader";
/// Tokens for the engine are for nobody else: no API server takes one of this audience.
pub const AUDIENCE: &str = "fixpoint-engine";
/// The name in the certificate of the engine's own API, whatever its address is.
pub const SERVER_NAME: &str = "fixpoint.fixpoint-system.svc";
/// The policy that binds an acknowledgement to whom the API server authenticated.
pub const POLICY: &str = "fixpoint-acknowledgements";
/// The name under which an installation's fields are applied.
pub const INSTALLER: &str = "fixpoint-install";
