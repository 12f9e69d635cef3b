package rivals;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/**
 * What is done with records, the same for every rival: it waits for each, or, with a port, sends them to the benchmark's server
 * and waits for the answer, in the thread that has them. Prints {@code first} at the first record. If the server answers
 * anything but 204, or nothing, it prints {@code failed} and why, and ends the process: a listener that throws would be
 * called again, and what is skipped in the end would count as done.
 */
final class Work {
    private static final int NO_CONTENT = 204;

    /** Records a call at most; 0 where no server is called. */
    final int most;

    private final long nanos;
    private final URI uri;
    private final HttpClient client;
    private final AtomicBoolean started = new AtomicBoolean();

    /** Of a rival's arguments from the fifth: {@code WORK_MICROS CONCURRENCY [PORT RECORDS]}. */
    Work(String[] args) {
        nanos = Long.parseLong(args[4]) * 1000;
        boolean calls = args.length > 6;
        most = calls ? Integer.parseInt(args[7]) : 0;
        uri = calls ? URI.create("http://127.0.0.1:" + args[6] + "/") : null;
        client = calls ? client(most) : null;
    }

    /** One record, whose value is asked for only where it is sent. */
    void one(Supplier<byte[]> value) {
        begin();
        if (client != null) {
            post(value.get());
        } else if (nanos > 0) {
            LockSupport.parkNanos(nanos);
        }
    }

    /** Records that came together: they are sent together, {@link #most} at a time. */
    void all(List<ConsumerRecord<byte[], byte[]>> records) {
        if (client == null) {
            for (int i = 0; i < records.size(); i++) {
                one(null);
            }
            return;
        }
        begin();
        for (int from = 0; from < records.size(); from += most) {
            post(body(records.subList(from, Math.min(from + most, records.size()))));
        }
    }

    private void begin() {
        if (!started.get() && started.compareAndSet(false, true)) {
            System.out.println("first");
        }
    }

    /** The least that holds several values: one after another, each behind its length. */
    private static byte[] body(List<ConsumerRecord<byte[], byte[]>> records) {
        int bytes = 0;
        for (var record : records) {
            bytes += Integer.BYTES + record.value().length;
        }
        ByteBuffer body = ByteBuffer.allocate(bytes);
        for (var record : records) {
            body.putInt(record.value().length).put(record.value());
        }
        return body.array();
    }

    private void post(byte[] body) {
        HttpRequest request = HttpRequest.newBuilder(uri).POST(BodyPublishers.ofByteArray(body)).build();
        try {
            int status = client.send(request, BodyHandlers.discarding()).statusCode();
            if (status != NO_CONTENT) {
                fail("the server answered " + status);
            }
        } catch (Throwable error) {
            fail("calling the server: " + error);
        }
    }

    private static void fail(String why) {
        System.out.println("failed " + why);
        System.out.flush();
        Runtime.getRuntime().halt(1);
    }

    private static HttpClient client(int most) {
        // A connection for each thread, kept for good; a batch of 500 in one buffer instead of four.
        System.setProperty("jdk.httpclient.connectionPoolSize", "0");
        System.setProperty("jdk.httpclient.keepalive.timeout", "1200");
        if (most > 1) {
            System.setProperty("jdk.httpclient.bufsize", "65536");
        }
        // The thread that reads an answer wakes the one that waits for it, without a third between them. Nothing blocks there.
        return HttpClient.newBuilder()
                .version(HttpClient.Version.HTTP_1_1)
                .proxy(HttpClient.Builder.NO_PROXY)
                .executor(Runnable::run)
                .build();
    }
}
