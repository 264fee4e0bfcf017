#include "bench/page/link/trace.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <string.h>

void trace_begin(FILE *out)
{
    fputs("# sent_us arrives_us way verdict ip_bytes queued_bytes client_port flags seq ack "
          "payload\n",
          out);
}

static const char *verdict_name(enum pipe_verdict verdict)
{
    static const char *const names[] = {"taken", "lost", "dropped", "overrun"};
    return names[verdict];
}

static void flags_text(const struct tcphdr *tcp, char out[8])
{
    size_t n = 0;
    const struct {
        bool on;
        char letter;
    } flags[] = {
        {tcp->syn, 'S'}, {tcp->fin, 'F'}, {tcp->rst, 'R'}, {tcp->psh, 'P'}, {tcp->ack, '.'}};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (flags[i].on)
            out[n++] = flags[i].letter;
    out[n] = '\0';
}

void trace_packet(FILE *out, const char *way, enum pipe_verdict verdict, uint64_t began_ns,
                  uint64_t now_ns, uint64_t due_ns, size_t queued, const uint8_t *bytes,
                  size_t length)
{
    struct iphdr ip;
    struct tcphdr tcp;
    char flags[8] = "?";
    fprintf(out, "%" PRIu64 " ", (now_ns - began_ns) / 1000);
    if (due_ns == PIPE_NEVER)
        fputs("-", out);
    else
        fprintf(out, "%" PRIu64, (due_ns - began_ns) / 1000);
    fprintf(out, " %s %s %zu %zu", way, verdict_name(verdict), length, queued);
    if (length < sizeof(ip) + sizeof(tcp)) {
        fputs("\n", out);
        return;
    }
    memcpy(&ip, bytes, sizeof(ip));
    size_t at = (size_t)ip.ihl * 4;
    if (ip.version == 4 && ip.protocol == IPPROTO_TCP && length >= at + sizeof(tcp)) {
        memcpy(&tcp, bytes + at, sizeof(tcp));
        flags_text(&tcp, flags);
        fprintf(out, " %u %s %u %u %zu", ntohs(way[0] == 'd' ? tcp.dest : tcp.source), flags,
                ntohl(tcp.seq), ntohl(tcp.ack_seq), length - at - (size_t)tcp.doff * 4);
    }
    fputs("\n", out);
}
