#include "bench/page/link/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: link [options]\n"
    "Joins two new network namespaces by an emulated link, writes a line of JSON that says where "
    "they\n"
    "are, and keeps them until its standard input ends or it is told to stop. Each line \"stats\" "
    "there\n"
    "is answered by a line of JSON: what passed since the one before.\n"
    "  --rtt MS             the round trip: half of it each way (40)\n"
    "  --down, --up KBIT    rates in 1,000 bit/s from and to the server; 0: no limit (0)\n"
    "  --down-queue, --up-queue BYTES   the drop-tail queues before them; 0: no limit (65536)\n"
    "  --loss PERCENT       of the packets, by chance, each way (0)\n"
    "  --seed N             of these losses (1)\n"
    "  --congestion NAME    the TCP congestion control of both ends (cubic)\n"
    "  --trace FILE         write a line for each packet\n";

enum which { RTT = 256, DOWN, UP, DOWN_QUEUE, UP_QUEUE, LOSS, SEED, CONGESTION, TRACE, HELP };

static const struct option options_known[] = {{"rtt", required_argument, NULL, RTT},
                                              {"down", required_argument, NULL, DOWN},
                                              {"up", required_argument, NULL, UP},
                                              {"down-queue", required_argument, NULL, DOWN_QUEUE},
                                              {"up-queue", required_argument, NULL, UP_QUEUE},
                                              {"loss", required_argument, NULL, LOSS},
                                              {"seed", required_argument, NULL, SEED},
                                              {"congestion", required_argument, NULL, CONGESTION},
                                              {"trace", required_argument, NULL, TRACE},
                                              {"help", no_argument, NULL, HELP},
                                              {NULL, 0, NULL, 0}};

static double number(const char *name, const char *text, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end != text && *end == '\0' && value >= 0 && value <= most)
        return value;
    fprintf(stderr, "link: --%s: \"%s\" is not a number from 0 to %.0f\n", name, text, most);
    exit(2);
}

static void take(struct options *options, int option, const char *name, const char *text)
{
    switch (option) {
    case RTT:
        options->up.delay_ns = (uint64_t)(number(name, text, 10000) * 1e6 / 2);
        options->down.delay_ns = options->up.delay_ns;
        break;
    case DOWN:
        options->down.rate_bps = (uint64_t)(number(name, text, 1e7) * 1000);
        break;
    case UP:
        options->up.rate_bps = (uint64_t)(number(name, text, 1e7) * 1000);
        break;
    case DOWN_QUEUE:
        options->down.queue_bytes = (size_t)number(name, text, 1e8);
        break;
    case UP_QUEUE:
        options->up.queue_bytes = (size_t)number(name, text, 1e8);
        break;
    case LOSS:
        options->down.loss = options->up.loss = number(name, text, 100) / 100;
        break;
    case SEED:
        options->down.seed = (uint64_t)number(name, text, 1e9);
        options->up.seed = options->down.seed + 1000000007;
        break;
    case CONGESTION:
        options->congestion = text;
        break;
    case TRACE:
        options->trace = text;
        break;
    case HELP:
        fputs(usage, stdout);
        exit(0);
    default:
        fputs(usage, stderr);
        exit(2);
    }
}

void options_read(struct options *options, int argc, char **argv)
{
    static const struct pipe_settings usual = {
        .delay_ns = 20000000, .queue_bytes = 65536, .seed = 1};
    *options = (struct options){.down = usual, .up = usual, .congestion = "cubic"};
    options->up.seed = 2;
    int option, index;
    while (index = 0, (option = getopt_long(argc, argv, "", options_known, &index)) != -1)
        take(options, option, option == '?' ? "" : options_known[index].name, optarg);
    if (optind < argc) {
        fprintf(stderr, "link: what is \"%s\"?\n", argv[optind]);
        exit(2);
    }
    if (strlen(options->congestion) > 15) {
        fprintf(stderr, "link: --congestion: \"%s\" is too long\n", options->congestion);
        exit(2);
    }
}
