package rivals;

import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.listener.BatchMessageListener;
import org.springframework.kafka.listener.ConcurrentMessageListenerContainer;
import org.springframework.kafka.listener.ContainerProperties;
import org.springframework.kafka.listener.MessageListener;

/**
 * Spring Kafka's container as a service would use it, without the rest of Spring: {@code Spring record|batch BOOTSTRAP TOPIC
 * GROUP WORK_MICROS CONCURRENCY [PORT RECORDS]}, see {@link Work}. Runs until it is killed; the harness watches the committed
 * offsets.
 */
public final class Spring {
    public static void main(String[] args) throws Exception {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", args[1]);
        config.put("group.id", args[3]);
        config.put("group.protocol", "consumer");
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", false);
        Work work = new Work(args);
        // A poll is committed when all of it is done: so many records that this happens once a second, or none would be in time.
        // A call of the server for one record takes less than a millisecond.
        long micros = work.most == 1 ? 1000 : Long.parseLong(args[4]);
        config.put("max.poll.records", (int) Math.min(5000, 1_000_000 / Math.max(1, micros)));
        config.put("fetch.min.bytes", 65536);
        config.put("fetch.max.wait.ms", 100);
        config.put("max.partition.fetch.bytes", 4 << 20);
        ContainerProperties properties = new ContainerProperties(args[2]);
        properties.setGroupId(args[3]);
        properties.setAckMode(ContainerProperties.AckMode.BATCH);
        if (args[0].equals("batch")) {
            properties.setMessageListener((BatchMessageListener<byte[], byte[]>) work::all);
        } else {
            properties.setMessageListener((MessageListener<byte[], byte[]>) record -> work.one(record::value));
        }
        var factory = new DefaultKafkaConsumerFactory<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        var container = new ConcurrentMessageListenerContainer<>(factory, properties);
        container.setConcurrency(Integer.parseInt(args[5]));
        container.start();
        Thread.currentThread().join();
    }
}
