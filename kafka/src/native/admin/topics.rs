//! DescribeCluster, DescribeTopics, CreateTopics and CreatePartitions.
#![expect(unsafe_code, reason = "calls librdkafka's admin functions and reads their answers")]

use std::ffi::CString;

use rdkafka_sys::bindings as sys;
use sys::rd_kafka_admin_op_t as op;

use super::Call;
use super::options::{Arguments, Options, items};
use crate::admin::{Cluster, NewPartitions, NewTopic, Node, Partition, Topic, TopicId};
use crate::error::{ErrorCode, KafkaError};
use crate::native::client::{Text, c_string};
use crate::native::error;
use crate::native::event::Event;

/// What is said of one topic.
pub(crate) type TopicPart<T> = (String, Result<T, KafkaError>);

pub(crate) fn describe_cluster(call: &Call<'_>) -> Result<(), KafkaError> {
    let options = Options::of(call, op::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER)?;
    // SAFETY: valid client, options and queue.
    unsafe { sys::rd_kafka_DescribeCluster(call.client.ptr(), options.ptr(), call.replies.ptr()) };
    Ok(())
}

pub(crate) fn cluster(event: &Event<'_>) -> Result<Cluster, KafkaError> {
    event.error().map_or(Ok(()), Err)?;
    let mut count = 0;
    // SAFETY: a valid event, null if of another kind; what is read is copied while the event lives.
    unsafe {
        let result = sys::rd_kafka_event_DescribeCluster_result(event.ptr());
        if result.is_null() {
            return Err(KafkaError::of(ErrorCode::INVALID_ARGUMENT));
        }
        let nodes = sys::rd_kafka_DescribeCluster_result_nodes(result, &raw mut count);
        Ok(Cluster {
            id: error::text(sys::rd_kafka_DescribeCluster_result_cluster_id(result)),
            controller: node_id(sys::rd_kafka_DescribeCluster_result_controller(result)),
            nodes: items(nodes.cast_const(), count).map(|node| self::node(node)).collect(),
        })
    }
}

/// # Safety
/// `node` is null or belongs to an answer that lives.
unsafe fn node_id(node: *const sys::rd_kafka_Node_t) -> Option<i32> {
    // SAFETY: the caller's promise.
    let id = unsafe { sys::rd_kafka_Node_id(node.as_ref()?) };
    (id >= 0).then_some(id)
}

/// # Safety
/// `node` belongs to an answer that lives.
unsafe fn node(node: &sys::rd_kafka_Node_t) -> Node {
    // SAFETY: the caller's promise.
    unsafe {
        let rack = sys::rd_kafka_Node_rack(node);
        Node {
            id: sys::rd_kafka_Node_id(node),
            host: error::text(sys::rd_kafka_Node_host(node)),
            port: sys::rd_kafka_Node_port(node),
            rack: (!rack.is_null()).then(|| error::text(rack)),
        }
    }
}

pub(crate) fn describe_topics(call: &Call<'_>, topics: &[&str]) -> Result<(), KafkaError> {
    let options = Options::of(call, op::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS)?;
    let names = topics.iter().map(|topic| c_string(topic)).collect::<Result<Vec<CString>, _>>()?;
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: valid client, options and queue; names are copied into the collection, the collection into the request.
    unsafe {
        let collection = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        sys::rd_kafka_DescribeTopics(call.client.ptr(), collection, options.ptr(), call.replies.ptr());
        sys::rd_kafka_TopicCollection_destroy(collection);
    }
    Ok(())
}

pub(crate) fn described(event: &Event<'_>) -> Result<Vec<TopicPart<Topic>>, KafkaError> {
    event.error().map_or(Ok(()), Err)?;
    let mut count = 0;
    // SAFETY: a valid event, null if of another kind; what is read is copied while the event lives.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event.ptr());
        if result.is_null() {
            return Ok(Vec::new());
        }
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        Ok(items(topics.cast_const(), count)
            .map(|topic| {
                let name = error::text(sys::rd_kafka_TopicDescription_name(topic));
                let failed = error::borrowed(sys::rd_kafka_TopicDescription_error(topic));
                (name, failed.map(|()| self::topic(topic)))
            })
            .collect())
    }
}

/// # Safety
/// `topic` belongs to an answer that lives.
unsafe fn topic(topic: &sys::rd_kafka_TopicDescription_t) -> Topic {
    let mut count = 0;
    // SAFETY: the caller's promise.
    unsafe {
        let id = sys::rd_kafka_TopicDescription_topic_id(topic).as_ref().map(|id| TopicId {
            high: sys::rd_kafka_Uuid_most_significant_bits(id),
            low: sys::rd_kafka_Uuid_least_significant_bits(id),
        });
        let partitions = sys::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        let mut partitions: Vec<_> =
            items(partitions.cast_const(), count).map(|partition| self::partition(partition)).collect();
        partitions.sort_unstable_by_key(|partition| partition.partition);
        Topic {
            id: id.filter(|id| (id.high, id.low) != (0, 0)),
            internal: sys::rd_kafka_TopicDescription_is_internal(topic) != 0,
            partitions,
        }
    }
}

/// # Safety
/// `partition` belongs to an answer that lives.
unsafe fn partition(partition: &sys::rd_kafka_TopicPartitionInfo_t) -> Partition {
    let (mut replicas, mut in_sync) = (0, 0);
    // SAFETY: the caller's promise.
    unsafe {
        let replica_nodes = sys::rd_kafka_TopicPartitionInfo_replicas(partition, &raw mut replicas);
        let in_sync_nodes = sys::rd_kafka_TopicPartitionInfo_isr(partition, &raw mut in_sync);
        let ids = |nodes, count| items(nodes, count).map(|node| sys::rd_kafka_Node_id(node)).collect();
        Partition {
            partition: sys::rd_kafka_TopicPartitionInfo_partition(partition),
            leader: node_id(sys::rd_kafka_TopicPartitionInfo_leader(partition)),
            replicas: ids(replica_nodes.cast_const(), replicas),
            in_sync: ids(in_sync_nodes.cast_const(), in_sync),
        }
    }
}

pub(crate) fn create(call: &Call<'_>, topics: &[NewTopic]) -> Result<(), KafkaError> {
    let options = Options::of(call, op::RD_KAFKA_ADMIN_OP_CREATETOPICS)?;
    options.wait_until_done(call.timeout)?;
    // SAFETY: the function that frees what `NewTopic_new` makes.
    let mut arguments = unsafe { Arguments::new(sys::rd_kafka_NewTopic_destroy) };
    for topic in topics {
        let name = c_string(&topic.name)?;
        let partitions = topic.partitions.map_or(-1, |count| i32::try_from(count).unwrap_or(i32::MAX));
        let replicas = topic.replication_factor.map_or(-1, i32::from);
        let mut text = Text::new();
        let (buffer, size) = text.buffer();
        // SAFETY: a C string and a buffer of the size given.
        let new = unsafe { sys::rd_kafka_NewTopic_new(name.as_ptr(), partitions, replicas, buffer, size) };
        if new.is_null() {
            return Err(KafkaError { code: ErrorCode::INVALID_ARGUMENT, text: text.take(), fatal: false });
        }
        arguments.items.push(new);
        for (key, value) in &topic.config {
            let (key, value) = (c_string(key)?, c_string(value)?);
            // SAFETY: a valid topic and two C strings, copied.
            let code = unsafe { sys::rd_kafka_NewTopic_set_config(new, key.as_ptr(), value.as_ptr()) };
            error::error(code, String::new(), false).map_or(Ok(()), Err)?;
        }
    }
    let (items, count) = (arguments.items.as_mut_ptr(), arguments.items.len());
    // SAFETY: valid client, arguments, options and queue; arguments are copied.
    unsafe { sys::rd_kafka_CreateTopics(call.client.ptr(), items, count, options.ptr(), call.replies.ptr()) };
    Ok(())
}

pub(crate) fn created(event: &Event<'_>) -> Result<Vec<TopicPart<()>>, KafkaError> {
    event.error().map_or(Ok(()), Err)?;
    let mut count = 0;
    // SAFETY: a valid event, null if of another kind; what is read is copied while the event lives.
    unsafe {
        let result = sys::rd_kafka_event_CreateTopics_result(event.ptr());
        if result.is_null() {
            return Ok(Vec::new());
        }
        Ok(results(sys::rd_kafka_CreateTopics_result_topics(result, &raw mut count), count))
    }
}

pub(crate) fn grow(call: &Call<'_>, topics: &[NewPartitions]) -> Result<(), KafkaError> {
    let options = Options::of(call, op::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS)?;
    options.wait_until_done(call.timeout)?;
    // SAFETY: the function that frees what `NewPartitions_new` makes.
    let mut arguments = unsafe { Arguments::new(sys::rd_kafka_NewPartitions_destroy) };
    for topic in topics {
        let name = c_string(&topic.topic)?;
        let mut text = Text::new();
        let (buffer, size) = text.buffer();
        // SAFETY: a C string and a buffer of the size given.
        let new = unsafe { sys::rd_kafka_NewPartitions_new(name.as_ptr(), topic.total as usize, buffer, size) };
        if new.is_null() {
            return Err(KafkaError { code: ErrorCode::INVALID_ARGUMENT, text: text.take(), fatal: false });
        }
        arguments.items.push(new);
    }
    let (items, count) = (arguments.items.as_mut_ptr(), arguments.items.len());
    // SAFETY: valid client, arguments, options and queue; arguments are copied.
    unsafe { sys::rd_kafka_CreatePartitions(call.client.ptr(), items, count, options.ptr(), call.replies.ptr()) };
    Ok(())
}

pub(crate) fn grown(event: &Event<'_>) -> Result<Vec<TopicPart<()>>, KafkaError> {
    event.error().map_or(Ok(()), Err)?;
    let mut count = 0;
    // SAFETY: a valid event, null if of another kind; what is read is copied while the event lives.
    unsafe {
        let result = sys::rd_kafka_event_CreatePartitions_result(event.ptr());
        if result.is_null() {
            return Ok(Vec::new());
        }
        Ok(results(sys::rd_kafka_CreatePartitions_result_topics(result, &raw mut count), count))
    }
}

/// # Safety
/// `topics` holds `count` results of an answer that lives.
unsafe fn results(topics: *mut *const sys::rd_kafka_topic_result_t, count: usize) -> Vec<TopicPart<()>> {
    // SAFETY: the caller's promise.
    unsafe {
        items(topics.cast_const(), count)
            .map(|topic| {
                let text = error::text(sys::rd_kafka_topic_result_error_string(topic));
                let code = error::numbers::rd_kafka_topic_result_error(topic);
                let failed = error::error_of(code, text, false);
                (error::text(sys::rd_kafka_topic_result_name(topic)), failed.map_or(Ok(()), Err))
            })
            .collect()
    }
}
