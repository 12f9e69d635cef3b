//! Every reason that Events and conditions give. The table in docs/reference/events.md is made from this.

/// Whether an Event is good or bad news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// As it should be.
    Normal,
    /// Somebody may have to do something.
    Warning,
}

impl EventType {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

macro_rules! reasons {
    ($($name:ident, $type_:ident, $meaning:literal;)*) => {
        /// Why something is as it is. A closed set; the words are part of the API and never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)*
        }

        impl Reason {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word: PascalCase, as conditions and Events have it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// Whether it is good or bad news.
            pub const fn event_type(self) -> EventType {
                match self {
                    $(Self::$name => EventType::$type_,)*
                }
            }

            /// What it means and, where that helps, what to do.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }
        }
    };
}

impl Reason {
    /// Whether it stays as it is until somebody does something: kstatus' Stalled. Penstock goes on trying all the same.
    pub const fn needs_help(self) -> bool {
        matches!(
            self,
            Self::Invalid
                | Self::NameConflict
                | Self::GroupInUse
                | Self::AuthenticationFailed
                | Self::NotAuthorized
                | Self::SecretMissing
                | Self::SecretInvalid
                | Self::TopicMissing
                | Self::TopicConflict
                | Self::OffsetsLost
                | Self::DataLoss
                | Self::ImageRunsAsRoot
        )
    }
}

reasons! {
    Accepted, Normal, "The spec is valid and can be carried out.";
    Invalid, Warning, "The spec cannot be carried out. The message names each field and what would be right; what runs stays as it is.";
    NameConflict, Warning, "An object that the pipeline needs exists and belongs to somebody else. It is left alone: rename the pipeline, or remove the object.";
    ApplyFailed, Warning, "The API server refused an object. It is tried again; the message has its words.";
    GroupInUse, Warning, "Another pipeline consumes with this group on the same cluster. No worker runs: give one of the two another source.groupId.";
    WaitingForGroup, Normal, "Members that are not Penstock's consume with this group. Workers start when it is empty: stop the others to cut over.";
    KafkaReachable, Normal, "Kafka answers again.";
    KafkaUnreachable, Warning, "Kafka does not answer. Replicas stay as they are; check kafka.bootstrapServers, the network and the brokers.";
    AuthenticationFailed, Warning, "The brokers refuse the credentials. Check the Secret and kafka.authentication.";
    NotAuthorized, Warning, "A right is missing. The message names the ACL to add.";
    KafkaRefused, Warning, "The brokers answer with an error. The message has it.";
    SecretMissing, Warning, "The Secret in kafka.secretRef does not exist, or may not be read.";
    SecretInvalid, Warning, "The Secret in kafka.secretRef lacks a key, or has one that cannot be used.";
    TopicMissing, Warning, "A topic does not exist. Create it, or let Penstock do so with topics[].ensure or deadLetter.create.";
    TopicCreated, Normal, "A topic was created.";
    TopicGrown, Normal, "Partitions were added to a topic.";
    TopicConflict, Warning, "A topic is not as topics[].ensure wants it, and somebody else changes it back, or changing it is not allowed. It is left alone.";
    OffsetsPinned, Normal, "The start of the group was written as real offsets.";
    OffsetsKept, Normal, "The group has offsets already, so source.startFrom is ignored.";
    OffsetsRestored, Normal, "Offsets that the broker had expired while the pipeline rested were put back.";
    OffsetsLost, Warning, "Committed offsets are gone, or unread records were deleted. No worker runs until a human decides where to go on.";
    PinFailed, Warning, "The start of the group could not be written. No worker starts before it is; it is looked at again.";
    ScaledUp, Normal, "Replicas were added. The message has the decision in words.";
    ScaledDown, Normal, "Replicas were taken away. The message has the decision in words.";
    Paused, Normal, "The pipeline is paused: no worker runs, offsets are kept.";
    Resumed, Normal, "The pipeline is no longer paused.";
    WorkersReady, Normal, "Workers are ready.";
    NoneWanted, Normal, "No worker is wanted, so none runs.";
    PodsNotStarting, Warning, "Pods do not become ready. The message has the pod's own reason.";
    ImagePullFailed, Warning, "An image cannot be pulled. Check its name, and worker.imagePullSecrets.";
    ImageRunsAsRoot, Warning, "An image insists on user 0, which workers never run as. Build it with another user, or set processor.container.runAsUser.";
    ContainerCrashing, Warning, "A container ends again and again. The message has what it said last.";
    OutOfMemory, Warning, "A container was killed because it used more memory than its limit. Raise the limit, or lower delivery.concurrency.";
    Unschedulable, Warning, "No node can take a pod. The message has the scheduler's words.";
    DataLoss, Warning, "Records were gone before they were read, and source.onOffsetLoss is Stop. The message has the range. Set it to Resume to go on with what is left.";
    TooManyDeadLetters, Warning, "The fuse: too large a share of the records failed for good, so something else than records must be wrong. Nothing more is dead-lettered; a record is tried now and then, and it goes on when they succeed. Mend the processor, or raise deadLetter.maxPercent.";
    DeadLetterUnwritable, Warning, "A dead letter cannot be written. Its record is kept and holds its offset until it can; nothing is lost. Look at the topic, its limits and the rights.";
    OutputUnwritable, Warning, "An output record cannot be written. The answer is kept and written again; the processor is not called for it. Look at the topic and the rights.";
    ProcessorUnavailable, Warning, "The processor cannot be reached, or answers as if it were not the processor. Records wait and are tried now and then; no attempt is spent and nothing is dead-lettered.";
    Blocked, Warning, "A record failed for good, and with onExhausted Block those behind it in its lane wait. The message and status.stuck name it. It is tried again every retry.maxDelay and goes on by itself.";
    KeysParked, Warning, "A record of each of these keys failed for good, and with onExhausted ParkKey the later ones of its key go to the dead letters after it. Send them back with penstock-worker redrive; a key goes on by itself when all of its letters have come back.";
    RecordStuck, Warning, "A record does not get done and holds the records behind it. The message and status.stuck name it.";
    NoProgress, Warning, "Records wait, and none gets done. Look at the processor.";
    Delivering, Normal, "Records are delivered.";
    Idle, Normal, "Nothing is unread, and no worker is needed.";
    Progressing, Normal, "Objects are being made, pods are starting, or an answer is awaited.";
    Ready, Normal, "All is as the spec says, and records are delivered.";
}
