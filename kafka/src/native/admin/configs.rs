//! DescribeConfigs and IncrementalAlterConfigs.
#![expect(unsafe_code, reason = "calls librdkafka's admin functions and reads their answers")]

use rdkafka_sys::bindings as sys;
use sys::rd_kafka_ConfigSource_t as source;
use sys::rd_kafka_ResourceType_t as resource_type;
use sys::rd_kafka_admin_op_t as op;

use super::Call;
use super::options::{Arguments, Options, items};
use crate::admin::{ConfigEntry, ConfigResource};
use crate::error::KafkaError;
use crate::native::client::c_string;
use crate::native::error;
use crate::native::event::Event;

/// What is said of one resource.
pub(crate) type ResourcePart<T> = (ConfigResource, Result<T, KafkaError>);

fn arguments(resources: &[ConfigResource]) -> Result<Arguments<sys::rd_kafka_ConfigResource_t>, KafkaError> {
    // SAFETY: the function that frees what `ConfigResource_new` makes.
    let mut arguments = unsafe { Arguments::new(sys::rd_kafka_ConfigResource_destroy) };
    for resource in resources {
        let (kind, name) = match resource {
            ConfigResource::Topic(name) => (resource_type::RD_KAFKA_RESOURCE_TOPIC, c_string(name)?),
            ConfigResource::Broker(id) => (resource_type::RD_KAFKA_RESOURCE_BROKER, c_string(&id.to_string())?),
        };
        // SAFETY: a C string, copied.
        arguments.items.push(unsafe { sys::rd_kafka_ConfigResource_new(kind, name.as_ptr()) });
    }
    Ok(arguments)
}

pub(crate) fn describe(call: &Call<'_>, resources: &[ConfigResource]) -> Result<(), KafkaError> {
    let options = Options::of(call, op::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS)?;
    let mut arguments = arguments(resources)?;
    let (items, count) = (arguments.items.as_mut_ptr(), arguments.items.len());
    // SAFETY: valid client, arguments, options and queue; arguments are copied.
    unsafe { sys::rd_kafka_DescribeConfigs(call.client.ptr(), items, count, options.ptr(), call.replies.ptr()) };
    Ok(())
}

pub(crate) fn described(event: &Event<'_>) -> Result<Vec<ResourcePart<Vec<ConfigEntry>>>, KafkaError> {
    event.error().map_or(Ok(()), Err)?;
    let mut count = 0;
    // SAFETY: a valid event, null if of another kind; what is read is copied while the event lives.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConfigs_result(event.ptr());
        if result.is_null() {
            return Ok(Vec::new());
        }
        let resources = sys::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
        Ok(items(resources.cast_const(), count)
            .filter_map(|resource| {
                let (name, failed) = part(resource)?;
                let mut count = 0;
                let entries = sys::rd_kafka_ConfigResource_configs(resource, &raw mut count);
                let entries = || items(entries.cast_const(), count).map(|entry| self::entry(entry)).collect();
                Some((name, failed.map(|()| entries())))
            })
            .collect())
    }
}

/// Sets keys of one resource.
pub(crate) fn alter(call: &Call<'_>, resource: &ConfigResource, set: &[(&str, &str)]) -> Result<(), KafkaError> {
    let options = Options::of(call, op::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS)?;
    let mut arguments = arguments(std::slice::from_ref(resource))?;
    for argument in &arguments.items {
        for (key, value) in set {
            let (key, value) = (c_string(key)?, c_string(value)?);
            let operation = sys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET;
            // SAFETY: a valid resource and two C strings, copied; the error returned is ours.
            unsafe {
                let (key, value) = (key.as_ptr(), value.as_ptr());
                error::take(sys::rd_kafka_ConfigResource_add_incremental_config(*argument, key, operation, value))?;
            }
        }
    }
    let (items, count) = (arguments.items.as_mut_ptr(), arguments.items.len());
    // SAFETY: valid client, arguments, options and queue; arguments are copied.
    unsafe {
        sys::rd_kafka_IncrementalAlterConfigs(call.client.ptr(), items, count, options.ptr(), call.replies.ptr());
    }
    Ok(())
}

/// The answer to [`alter`].
pub(crate) fn altered(event: &Event<'_>) -> Result<(), KafkaError> {
    event.error().map_or(Ok(()), Err)?;
    let mut count = 0;
    // SAFETY: a valid event, null if of another kind; what is read is copied while the event lives.
    unsafe {
        let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(event.ptr());
        if result.is_null() {
            return Ok(());
        }
        let resources = sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &raw mut count);
        items(resources.cast_const(), count).filter_map(|resource| part(resource)).try_for_each(|(_, failed)| failed)
    }
}

/// # Safety
/// `resource` belongs to an answer that lives.
unsafe fn part(resource: &sys::rd_kafka_ConfigResource_t) -> Option<(ConfigResource, Result<(), KafkaError>)> {
    // SAFETY: the caller's promise.
    unsafe {
        let name = error::text(sys::rd_kafka_ConfigResource_name(resource));
        let name = match sys::rd_kafka_ConfigResource_type(resource) {
            resource_type::RD_KAFKA_RESOURCE_TOPIC => ConfigResource::Topic(name),
            _ => ConfigResource::Broker(name.parse().ok()?),
        };
        let text = error::text(sys::rd_kafka_ConfigResource_error_string(resource));
        let code = error::numbers::rd_kafka_ConfigResource_error(resource);
        let failed = error::error_of(code, text, false);
        Some((name, failed.map_or(Ok(()), Err)))
    }
}

/// # Safety
/// `entry` belongs to an answer that lives.
unsafe fn entry(entry: &sys::rd_kafka_ConfigEntry_t) -> ConfigEntry {
    // SAFETY: the caller's promise.
    unsafe {
        let value = sys::rd_kafka_ConfigEntry_value(entry);
        let source = sys::rd_kafka_ConfigEntry_source(entry);
        ConfigEntry {
            name: error::text(sys::rd_kafka_ConfigEntry_name(entry)),
            value: (!value.is_null()).then(|| error::text(value)),
            is_default: source == source::RD_KAFKA_CONFIG_SOURCE_DEFAULT_CONFIG,
            is_own: matches!(
                source,
                source::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG
                    | source::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_BROKER_CONFIG
                    | source::RD_KAFKA_CONFIG_SOURCE_STATIC_BROKER_CONFIG
            ),
        }
    }
}
