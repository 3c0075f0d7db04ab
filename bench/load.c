/* The load generator: sends requests that are signed already, one thread, epoll, each latency kept.
 *
 *   load PORT FILE CONNECTIONS RATE WARMUP SECONDS FRESH LIMIT
 *
 * FILE holds requests, each after its length (4 bytes, little endian); each is sent once.
 * RATE 0 is a closed loop: every connection sends its next request when it is answered. Any other RATE is an open loop:
 * requests are due at fixed times a second, whether or not earlier ones are answered, and latency counts from when a
 * request was due, so that a stalled server can't hide by not being asked.
 * FRESH 1 opens a connection for each request, and counts its opening. LIMIT > 0 ends after so many requests.
 * Prints `begin` and `end` around the time that is measured, then one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NANO 1000000000LL
#define ANSWER_MAX 65536
#define GIVES_UP_AFTER (10 * NANO) /* as a bank does */

enum state { CLOSED, CONNECTING, SENDING, WAITING, IDLE };

struct connection {
    int fd;
    enum state state;
    const char *request;
    size_t length, sent, got;
    int64_t due;
    char answer[ANSWER_MAX + 1];
};

static struct connection *connections;
static int connection_count, poller, *idle, idle_count;
static struct sockaddr_in server;
static int fresh;

static const char *requests, *requests_end;
static long limit, taken, in_flight;

static int64_t started, measured_from, measured_to, interval;
static uint32_t *latencies; /* microseconds */
static long latency_count, latency_room, answers_in_time;
static long ok, client_errors, server_errors, resets, refused, timeouts, unsent, opened, dry;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NANO + t.tv_nsec;
}

static double cpu_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void open_file(const char *path) {
    struct stat about;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &about) < 0) fail(path);
    requests = mmap(NULL, about.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (requests == MAP_FAILED) fail("mmap");
    requests_end = requests + about.st_size;
    close(fd);
}

/* When the next request is due; -1 where no more is to be sent. */
static int64_t next_due(int64_t at) {
    int64_t due = interval ? started + taken * interval : at;
    if (requests >= requests_end) {
        dry = due < measured_to;
        return -1;
    }
    if ((limit && taken >= limit) || due >= measured_to) return -1;
    return due;
}

static void take_request(struct connection *c, int64_t due) {
    uint32_t length;
    memcpy(&length, requests, 4);
    c->request = requests + 4;
    c->length = length;
    c->sent = c->got = 0;
    c->due = due;
    requests += 4 + length;
    taken++;
    in_flight++;
}

static void hang_up(struct connection *c) {
    if (c->state != CLOSED) close(c->fd);
    c->state = CLOSED;
}

static void rest(struct connection *c) {
    idle[idle_count++] = c - connections;
}

static void dial(struct connection *c) {
    static uint32_t turn;
    int yes = 1;
    struct sockaddr_in from = {.sin_family = AF_INET};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) fail("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    /* Many addresses of loopback, as closed connections keep their ports for a minute. */
    from.sin_addr.s_addr = htonl(0x7f000002 + turn++ % 200);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from) < 0) fail("bind");
    struct epoll_event wanted = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u32 = c - connections};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &wanted) < 0) fail("epoll_ctl");
    c->state = CONNECTING;
    opened++;
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS) {
        hang_up(c);
        refused++;
        in_flight--;
        rest(c);
    }
}

static void push(struct connection *c) {
    while (c->sent < c->length) {
        ssize_t n = send(c->fd, c->request + c->sent, c->length - c->sent, MSG_NOSIGNAL);
        if (n > 0) {
            c->sent += n;
        } else if (errno == EAGAIN) {
            return;
        } else {
            hang_up(c);
            resets++;
            in_flight--;
            rest(c);
            return;
        }
    }
    c->state = WAITING;
}

static void begin_request(struct connection *c, int64_t due) {
    take_request(c, due);
    if (c->state == CLOSED) {
        dial(c);
    } else {
        c->state = SENDING;
        push(c);
    }
}

static const char *header(const char *head, const char *end, const char *name) {
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line && line < end; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, name, length) && line[length] == ':') return line + length + 1 + strspn(line + length + 1, " ");
    }
    return NULL;
}

/* Whether the answer is complete; `keeps` tells whether the connection goes on. */
static int complete(struct connection *c, int *keeps) {
    c->answer[c->got] = 0;
    char *end = strstr(c->answer, "\r\n\r\n");
    if (!end) return 0;
    const char *connection = header(c->answer, end, "Connection");
    *keeps = !(connection && !strncasecmp(connection, "close", 5)) && !fresh;
    size_t head = end + 4 - c->answer;
    const char *length = header(c->answer, end, "Content-Length");
    if (length) return c->got >= head + strtoul(length, NULL, 10);
    if (header(c->answer, end, "Transfer-Encoding")) return c->got >= head + 5 && !memcmp(c->answer + c->got - 5, "0\r\n\r\n", 5);
    return 0;
}

static void note_answer(struct connection *c) {
    int64_t at = now();
    int status = atoi(c->answer + 9);
    if (c->due >= measured_from) {
        if (latency_count == latency_room) {
            latency_room = latency_room ? latency_room * 2 : 65536;
            latencies = realloc(latencies, latency_room * sizeof *latencies);
            if (!latencies) fail("realloc");
        }
        latencies[latency_count++] = (at - c->due) / 1000;
    }
    if (status >= 200 && status < 300) {
        ok++;
        if (at >= measured_from && at < measured_to) answers_in_time++;
    } else {
        if (client_errors + server_errors == 0) fprintf(stderr, "first answer that is not 2xx: %.600s\n", c->answer);
        *(status >= 500 ? &server_errors : &client_errors) += 1;
    }
    in_flight--;
}

static void pull(struct connection *c) {
    for (;;) {
        ssize_t n = recv(c->fd, c->answer + c->got, ANSWER_MAX - c->got, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            if (c->state != IDLE) {
                resets++;
                in_flight--;
                rest(c);
            }
            hang_up(c); /* where it was idle it stands among the idle ones already */
            return;
        }
        c->got += n;
        int keeps = 0;
        if (complete(c, &keeps)) {
            note_answer(c);
            if (keeps) {
                c->state = IDLE;
                c->got = 0;
            } else {
                hang_up(c);
            }
            rest(c);
            return;
        }
        if (c->got == ANSWER_MAX) {
            fprintf(stderr, "an answer is too long\n");
            exit(1);
        }
    }
}

static void serve(struct connection *c, uint32_t events) {
    if (c->state == CLOSED) return;
    if (c->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            hang_up(c);
            refused++;
            in_flight--;
            rest(c);
            return;
        }
        if (events & EPOLLOUT) c->state = SENDING;
    }
    if (c->state == SENDING) push(c);
    if (c->state != CLOSED && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) pull(c);
}

/* Send what is due while a connection is free. Returns when to come again, -1 for never. */
static int64_t send_due(void) {
    int rounds = idle_count;
    for (;;) {
        int64_t at = now(), due = next_due(at);
        if (due < 0 || due > at) return due;
        /* Where connecting fails at once, the connection is idle again: not more tries than connections. */
        if (!idle_count || rounds-- == 0) return interval ? at + NANO / 1000 : at;
        begin_request(&connections[idle[--idle_count]], due);
    }
}

static void give_up(int64_t at) {
    for (int i = 0; i < connection_count; i++) {
        struct connection *c = &connections[i];
        if (c->state != CLOSED && c->state != IDLE && at - c->due > GIVES_UP_AFTER) {
            hang_up(c);
            timeouts++;
            in_flight--;
            rest(c);
        }
    }
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double quantile(double share) {
    if (!latency_count) return 0;
    long index = (long)(share * latency_count);
    return latencies[index < latency_count ? index : latency_count - 1] / 1000.0;
}

static void report(double wall, double cpu) {
    static const double shares[] = {0.5, 0.75, 0.9, 0.95, 0.99, 0.999};
    long slow = 0;
    qsort(latencies, latency_count, sizeof *latencies, by_size);
    for (long i = latency_count; i > 0 && latencies[i - 1] > 250000; i--) slow++;
    printf("{\"seconds\":%.6f,\"answered\":%ld,\"rate\":%.3f,\"generator_cpu\":%.4f,", wall, answers_in_time,
           answers_in_time / wall, cpu / wall);
    for (unsigned i = 0; i < sizeof shares / sizeof *shares; i++) printf("\"p%g\":%.3f,", shares[i] * 100, quantile(shares[i]));
    printf("\"max\":%.3f,\"above_250ms\":%ld,\"latencies\":%ld,", quantile(1), slow, latency_count);
    printf("\"sent\":%ld,\"ok\":%ld,\"status_4xx\":%ld,\"status_5xx\":%ld,\"resets\":%ld,\"refused\":%ld,\"timeouts\":%ld,"
           "\"unsent\":%ld,\"connections\":%ld,\"ran_dry\":%ld}\n",
           taken, ok, client_errors, server_errors, resets, refused, timeouts, unsent, opened, dry);
}

int main(int argc, char **argv) {
    if (argc != 9) return fprintf(stderr, "load PORT FILE CONNECTIONS RATE WARMUP SECONDS FRESH LIMIT\n"), 2;
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    open_file(argv[2]);
    connection_count = atoi(argv[3]);
    interval = atof(argv[4]) > 0 ? (int64_t)(NANO / atof(argv[4])) : 0;
    fresh = atoi(argv[7]);
    limit = atol(argv[8]);
    connections = calloc(connection_count, sizeof *connections);
    idle = calloc(connection_count, sizeof *idle);
    poller = epoll_create1(0);
    int alarm_clock = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (!connections || !idle || poller < 0 || alarm_clock < 0) fail("start");
    struct epoll_event tick = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    epoll_ctl(poller, EPOLL_CTL_ADD, alarm_clock, &tick);
    for (int i = connection_count - 1; i >= 0; i--) rest(&connections[i]);

    started = now();
    measured_from = started + (int64_t)(atof(argv[5]) * NANO);
    measured_to = measured_from + (int64_t)(atof(argv[6]) * NANO);
    double cpu_from = 0, cpu = 0, wall = 0;
    int began = 0, ended = 0;
    int64_t looked = started;
    for (;;) {
        int64_t due = send_due(), at = now();
        if (!began && at >= measured_from) {
            began = 1;
            cpu_from = cpu_seconds();
            puts("begin"), fflush(stdout);
        }
        int over = due < 0 && in_flight == 0;
        if (began && !ended && (at >= measured_to || over)) {
            ended = 1;
            cpu = cpu_seconds() - cpu_from;
            wall = (at - measured_from) / 1e9;
            puts("end"), fflush(stdout);
        }
        if (over && began) break;
        if (at > measured_to + GIVES_UP_AFTER && !limit) {
            if (interval) unsent = (measured_to - started) / interval - taken;
            timeouts += in_flight;
            break;
        }
        if (at - looked > NANO / 4) {
            looked = at;
            give_up(at);
        }
        int64_t wake = at + NANO / 4;
        if (!began && measured_from < wake) wake = measured_from;
        if (interval && due > 0 && due < wake) wake = due;
        if (!ended && measured_to < wake) wake = measured_to > at ? measured_to : at + 1;
        struct itimerspec when = {.it_value = {wake / NANO, wake % NANO}};
        timerfd_settime(alarm_clock, TFD_TIMER_ABSTIME, &when, NULL);
        struct epoll_event events[256];
        int n = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < n; i++) {
            uint64_t expirations;
            if (events[i].data.u32 == UINT32_MAX) {
                if (read(alarm_clock, &expirations, 8) < 0 && errno != EAGAIN) fail("timer");
            } else {
                serve(&connections[events[i].data.u32], events[i].events);
            }
        }
    }
    report(wall, cpu);
    return 0;
}
