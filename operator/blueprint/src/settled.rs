//! What the operator decided and learned beyond the resource, as the renderer needs it.

/// What was decided and learned about one pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Replicas of the Deployment. `None` leaves the field out.
    ///
    /// Server-side apply takes a field away that its manager owned and names no longer, and the API server then puts 1 in its place. So
    /// `None` is only for a manager that never named it; whoever once did goes on naming what it observes.
    pub replicas: Option<u32>,
    /// How workers join their group. Decided once per pipeline: members of both kinds cannot be in one group.
    pub group_protocol: GroupProtocol,
    /// Source topics whose start is pinned as committed offsets. Order and duplicates do not matter.
    pub pinned_topics: Vec<String>,
}

/// How members join a consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupProtocol {
    /// JoinGroup and SyncGroup, with the cooperative-sticky assignor.
    Classic,
    /// ConsumerGroupHeartbeat (KIP-848), with the assignor of the broker.
    Consumer,
}

impl GroupProtocol {
    /// librdkafka's word for `group.protocol`, and that of status and the pipeline file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }

    /// The reverse of [`Self::as_str`]; `None` for any other word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Classic, Self::Consumer].into_iter().find(|protocol| protocol.as_str() == word)
    }
}

/// What this release of the operator brings along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Image of the workers, where the pipeline names none.
    pub worker_image: String,
    /// When to pull it: Always, IfNotPresent or Never. `None` leaves it to Kubernetes.
    pub image_pull_policy: Option<String>,
    /// Version of the operator, `0.1.0`: a label of the objects, never of pods, so that an upgrade restarts nothing.
    pub version: String,
}
