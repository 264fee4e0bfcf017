import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.HttpResponse.PushPromiseHandler;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * Java's HttpClient with a PushPromiseHandler: asks for a page and keeps what is pushed with it.
 *
 * <p>{@code java PushClient.java CA URL [PATH...]} prints a line per answer, tab-separated: the role
 * (page, pushed or asked), the path, the status, the body's length and its SHA-256. The asked PATHs
 * follow on the same connection. The status is 1 on any error.
 */
public final class PushClient {
    private static final long DEADLINE_S = 30;

    private PushClient() {}

    private static SSLContext trusting(String certificate) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream pem = Files.newInputStream(Path.of(certificate))) {
            store.setCertificateEntry(
                    "server", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        TrustManagerFactory trust =
                TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    private static String hex(byte[] body) throws Exception {
        StringBuilder text = new StringBuilder();
        for (byte octet : MessageDigest.getInstance("SHA-256").digest(body)) {
            text.append(String.format("%02x", octet));
        }
        return text.toString();
    }

    private static void print(String role, String path, HttpResponse<byte[]> answer)
            throws Exception {
        if (answer.version() != HttpClient.Version.HTTP_2) {
            throw new IllegalStateException(path + " came over " + answer.version());
        }
        System.out.printf("%s\t%s\t%d\t%d\t%s%n", role, path, answer.statusCode(),
                answer.body().length, hex(answer.body()));
    }

    private static HttpRequest get(URI uri) {
        return HttpRequest.newBuilder(uri).timeout(Duration.ofSeconds(DEADLINE_S)).build();
    }

    public static void main(String[] args) throws Exception {
        URI page = URI.create(args[1]);
        HttpClient client = HttpClient.newBuilder()
                .version(HttpClient.Version.HTTP_2)
                .sslContext(trusting(args[0]))
                .connectTimeout(Duration.ofSeconds(DEADLINE_S))
                .build();
        ConcurrentMap<HttpRequest, CompletableFuture<HttpResponse<byte[]>>> pushes =
                new ConcurrentHashMap<>();
        Function<HttpRequest, HttpResponse.BodyHandler<byte[]>> keep =
                promised -> BodyHandlers.ofByteArray();
        HttpResponse<byte[]> answer =
                client.sendAsync(get(page), BodyHandlers.ofByteArray(),
                                PushPromiseHandler.of(keep, pushes))
                        .get(DEADLINE_S, TimeUnit.SECONDS);
        print("page", page.getPath(), answer);
        List<HttpRequest> promised = new ArrayList<>(pushes.keySet());
        for (HttpRequest request : promised) {
            HttpResponse<byte[]> pushed = pushes.get(request).get(DEADLINE_S, TimeUnit.SECONDS);
            print("pushed", request.uri().getPath(), pushed);
        }
        for (int i = 2; i < args.length; i++) {
            HttpResponse<byte[]> asked = client.send(
                    get(page.resolve(args[i])), BodyHandlers.ofByteArray());
            print("asked", args[i], asked);
        }
        System.exit(0); // the client's threads would keep the machine up for a while
    }
}
