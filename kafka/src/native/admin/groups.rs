//! DescribeConsumerGroups.
#![expect(unsafe_code, reason = "calls librdkafka's admin functions and reads their answers")]

use rdkafka_sys::bindings as sys;
use sys::rd_kafka_consumer_group_state_t as state;
use sys::rd_kafka_consumer_group_type_t as kind;

use super::Call;
use super::options::{Options, items};
use crate::admin::{ConsumerGroup, GroupMember, GroupState, GroupType};
use crate::error::{ErrorCode, KafkaError};
use crate::native::client::c_string;
use crate::native::error;
use crate::native::event::Event;
use crate::native::partitions;
use crate::record::TopicPartition;

pub(crate) fn describe(call: &Call<'_>, group: &str) -> Result<(), KafkaError> {
    let options = Options::of(call, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS)?;
    let group = c_string(group)?;
    let mut names = [group.as_ptr()];
    let (names, count) = (names.as_mut_ptr(), names.len());
    // SAFETY: valid client, options and queue; the names are copied.
    unsafe {
        sys::rd_kafka_DescribeConsumerGroups(call.client.ptr(), names, count, options.ptr(), call.replies.ptr());
    }
    Ok(())
}

pub(crate) fn described(event: &Event<'_>) -> Result<ConsumerGroup, KafkaError> {
    event.error().map_or(Ok(()), Err)?;
    let mut count = 0;
    // SAFETY: a valid event, null if of another kind; what is read is copied while the event lives.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.ptr());
        if result.is_null() {
            return Err(KafkaError::of(ErrorCode::INVALID_ARGUMENT));
        }
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        let Some(group) = items(groups.cast_const(), count).next() else {
            return Err(KafkaError::of(ErrorCode::GROUP_ID_NOT_FOUND));
        };
        match error::borrowed(sys::rd_kafka_ConsumerGroupDescription_error(group)) {
            Ok(()) => Ok(self::group(group)),
            // Brokers say this, or state Dead, depending on the version of the request.
            Err(error) if error.code == ErrorCode::GROUP_ID_NOT_FOUND => Ok(absent()),
            Err(error) => Err(error),
        }
    }
}

fn absent() -> ConsumerGroup {
    ConsumerGroup {
        state: GroupState::Dead,
        kind: GroupType::Unknown,
        assignor: String::new(),
        coordinator: None,
        members: Vec::new(),
    }
}

/// # Safety
/// `group` belongs to an answer that lives.
unsafe fn group(group: &sys::rd_kafka_ConsumerGroupDescription_t) -> ConsumerGroup {
    // SAFETY: the caller's promise.
    unsafe {
        let members = sys::rd_kafka_ConsumerGroupDescription_member_count(group);
        let members =
            (0..members).filter_map(|index| sys::rd_kafka_ConsumerGroupDescription_member(group, index).as_ref());
        let coordinator = sys::rd_kafka_ConsumerGroupDescription_coordinator(group);
        ConsumerGroup {
            state: match sys::rd_kafka_ConsumerGroupDescription_state(group) {
                state::RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE => GroupState::PreparingRebalance,
                state::RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE => GroupState::CompletingRebalance,
                state::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE => GroupState::Stable,
                state::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD => GroupState::Dead,
                state::RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY => GroupState::Empty,
                // KIP-848's Assigning and Reconciling among them, which librdkafka has no names for.
                _ => GroupState::Unknown,
            },
            kind: match sys::rd_kafka_ConsumerGroupDescription_type(group) {
                kind::RD_KAFKA_CONSUMER_GROUP_TYPE_CONSUMER => GroupType::Consumer,
                kind::RD_KAFKA_CONSUMER_GROUP_TYPE_CLASSIC => GroupType::Classic,
                _ => GroupType::Unknown,
            },
            assignor: error::text(sys::rd_kafka_ConsumerGroupDescription_partition_assignor(group)),
            coordinator: (!coordinator.is_null()).then(|| sys::rd_kafka_Node_id(coordinator)),
            members: members.map(|member| self::member(member)).collect(),
        }
    }
}

/// # Safety
/// `member` belongs to an answer that lives.
unsafe fn member(member: &sys::rd_kafka_MemberDescription_t) -> GroupMember {
    // SAFETY: the caller's promise.
    unsafe {
        let instance = sys::rd_kafka_MemberDescription_group_instance_id(member);
        let assignment = sys::rd_kafka_MemberDescription_assignment(member);
        let assigned = match assignment.as_ref() {
            Some(assignment) => sys::rd_kafka_MemberAssignment_partitions(assignment),
            None => std::ptr::null(),
        };
        GroupMember {
            member_id: error::text(sys::rd_kafka_MemberDescription_consumer_id(member)),
            client_id: error::text(sys::rd_kafka_MemberDescription_client_id(member)),
            host: error::text(sys::rd_kafka_MemberDescription_host(member)).trim_start_matches('/').to_owned(),
            instance_id: (!instance.is_null()).then(|| error::text(instance)).filter(|id| !id.is_empty()),
            assignment: partitions::entries(assigned)
                .map(|entry| TopicPartition::new(entry.topic(), entry.partition()))
                .collect(),
        }
    }
}
