//! librdkafka's own mock cluster: it speaks the protocol over TCP, and fails when it is told to.
#![expect(unsafe_code, reason = "the mock cluster has only a C interface")]

use std::ffi::{CStr, CString, c_int};
use std::ptr::null_mut;

use rdkafka_sys::bindings as sys;

pub(crate) use rdkafka_sys::bindings::rd_kafka_resp_err_t as Code;

/// Requests that a test lets fail, by their number in the protocol.
#[derive(Clone, Copy, Debug)]
#[repr(i16)]
pub(crate) enum Request {
    Produce = 0,
    Fetch = 1,
    OffsetCommit = 8,
    OffsetFetch = 9,
    JoinGroup = 11,
    ConsumerGroupHeartbeat = 68,
}

/// A mock cluster and the client that it lives in.
pub(crate) struct Mock {
    client: *mut sys::rd_kafka_t,
    cluster: *mut sys::rd_kafka_mock_cluster_t,
}

impl Mock {
    pub(crate) fn new(brokers: c_int) -> Self {
        // SAFETY: a client with default properties, which takes the configuration over, and a cluster in it.
        unsafe {
            let conf = sys::rd_kafka_conf_new();
            let client = sys::rd_kafka_new(sys::rd_kafka_type_t::RD_KAFKA_PRODUCER, conf, null_mut(), 0);
            let cluster = sys::rd_kafka_mock_cluster_new(client, brokers);
            // Three seconds by default, in which a classic group waits for more members.
            sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
            sys::rd_kafka_mock_set_group_consumer_heartbeat_interval_ms(cluster, 100);
            Self { client, cluster }
        }
    }

    pub(crate) fn bootstrap(&self) -> String {
        // SAFETY: a valid cluster; the string lives as long as it does and is copied.
        unsafe { CStr::from_ptr(sys::rd_kafka_mock_cluster_bootstraps(self.cluster)) }.to_str().unwrap().to_owned()
    }

    pub(crate) fn topic(&self, name: &str, partitions: c_int) {
        let name = CString::new(name).unwrap();
        // SAFETY: a valid cluster and a C string.
        let code = unsafe { sys::rd_kafka_mock_topic_create(self.cluster, name.as_ptr(), partitions, 1) };
        assert_eq!(code, Code::RD_KAFKA_RESP_ERR_NO_ERROR);
    }

    /// The next requests of this kind are answered with these codes.
    pub(crate) fn fail(&self, request: Request, mut codes: Vec<Code>) {
        // SAFETY: a valid cluster and an array of that many codes, which is copied.
        unsafe {
            sys::rd_kafka_mock_push_request_errors_array(self.cluster, request as i16, codes.len(), codes.as_mut_ptr());
        }
    }

    /// Answers come so much later than they are made.
    pub(crate) fn delay_answers(&self, millis: c_int) {
        // SAFETY: a valid cluster.
        let code = unsafe { sys::rd_kafka_mock_broker_set_rtt(self.cluster, -1, millis) };
        assert_eq!(code, Code::RD_KAFKA_RESP_ERR_NO_ERROR);
    }

    /// Counts requests from now on.
    pub(crate) fn count_requests(&self) {
        // SAFETY: a valid cluster.
        unsafe { sys::rd_kafka_mock_start_request_tracking(self.cluster) };
    }

    /// How many requests of this kind were counted.
    pub(crate) fn counted(&self, request: Request) -> usize {
        let mut count = 0;
        // SAFETY: a valid cluster and an out-pointer; the array of that many requests is ours to destroy.
        unsafe {
            let all = sys::rd_kafka_mock_get_requests(self.cluster, &raw mut count);
            let of_kind = |index| sys::rd_kafka_mock_request_api_key(*all.add(index)) == request as i16;
            let found = (0..count).filter(|index| of_kind(*index)).count();
            sys::rd_kafka_mock_request_destroy_array(all, count);
            found
        }
    }

    /// This kind of request is not known to the brokers.
    pub(crate) fn disable(&self, request: Request) {
        // SAFETY: a valid cluster.
        let code = unsafe { sys::rd_kafka_mock_set_apiversion(self.cluster, request as i16, -1, -1) };
        assert_eq!(code, Code::RD_KAFKA_RESP_ERR_NO_ERROR);
    }

    /// Makes that broker lead a partition, or none.
    pub(crate) fn lead(&self, topic: &str, partition: i32, broker: Option<i32>) {
        let name = CString::new(topic).unwrap();
        let broker = broker.unwrap_or(-1);
        // SAFETY: a valid cluster and a C string.
        let code = unsafe { sys::rd_kafka_mock_partition_set_leader(self.cluster, name.as_ptr(), partition, broker) };
        assert_eq!(code, Code::RD_KAFKA_RESP_ERR_NO_ERROR);
    }

    pub(crate) fn down(&self, broker: i32) {
        // SAFETY: a valid cluster.
        unsafe { sys::rd_kafka_mock_broker_set_down(self.cluster, broker) };
    }

    pub(crate) fn up(&self, broker: i32) {
        // SAFETY: a valid cluster.
        unsafe { sys::rd_kafka_mock_broker_set_up(self.cluster, broker) };
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        // SAFETY: the cluster first, then the client that it lives in; nobody uses them any more.
        unsafe {
            sys::rd_kafka_mock_cluster_destroy(self.cluster);
            sys::rd_kafka_destroy(self.client);
        }
    }
}
