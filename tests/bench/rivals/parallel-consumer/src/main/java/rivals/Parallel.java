package rivals;

import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Confluent's Parallel Consumer with key order: {@code Parallel KEY|PARTITION|UNORDERED BOOTSTRAP TOPIC GROUP WORK_MICROS
 * CONCURRENCY [PORT RECORDS]}, see {@link Work}. Runs until it is killed; the harness watches the committed offsets.
 */
public final class Parallel {
    public static void main(String[] args) throws Exception {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", args[1]);
        config.put("group.id", args[3]);
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", false);
        config.put("max.poll.records", 5000);
        config.put("fetch.min.bytes", 65536);
        config.put("fetch.max.wait.ms", 100);
        config.put("max.partition.fetch.bytes", 4 << 20);
        Work work = new Work(args);
        var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        var options = ParallelConsumerOptions.<byte[], byte[]>builder()
                .consumer(consumer)
                .ordering(ProcessingOrder.valueOf(args[0]))
                .maxConcurrency(Integer.parseInt(args[5]))
                .batchSize(Math.max(1, work.most))
                .commitInterval(Duration.ofMillis(1000))
                .build();
        ParallelStreamProcessor<byte[], byte[]> processor = ParallelStreamProcessor.createEosStreamProcessor(options);
        processor.subscribe(List.of(args[2]));
        if (work.most > 1) {
            processor.poll(context -> work.all(context.getConsumerRecordsFlattened()));
        } else {
            processor.poll(context -> work.one(context::value));
        }
        Thread.currentThread().join();
    }
}
