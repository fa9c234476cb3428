/* How far the preparation of data is: a bar on a terminal, else a line now and then. */
#include <stdio.h>
#include <string.h>

#include "launch/launch.h"

enum { BAR = 24 };
static const double quiet = 1, between = 10; /* seconds before anything is said, and between plain lines */

static struct {
    char domain[64];
    const char *what;
    double began, last; /* of this domain and kind of work; of the last line */
    int live_line;
} shown;

static void draw_bar(double share, const char *text)
{
    char bar[BAR + 1];
    for (int i = 0; i < BAR; i++) bar[i] = i < (int)(share * BAR + 0.5) ? '#' : '.';
    bar[BAR] = 0;
    fprintf(stderr, "\r[%s] %s\033[K", bar, text);
    shown.live_line = 1;
}

void pawl_show_preparing(const char *what, const char *domain, int64_t done, int64_t all)
{
    char text[256], have[32], whole[32], left[32];
    const double now = pawl_seconds(), share = (double)done / (double)all;
    if (what != shown.what || strcmp(domain, shown.domain) != 0) {
        snprintf(shown.domain, sizeof shown.domain, "%s", domain);
        shown.what = what;
        shown.began = shown.last = now;
    }
    const int live = pawl_on_terminal();
    if (now - shown.began < quiet || (!live && now - shown.last < between)) return;
    shown.last = now;
    pawl_format_bytes((double)done, have);
    pawl_format_bytes((double)all, whole);
    pawl_format_seconds((now - shown.began) * (1 - share) / share, left);
    snprintf(text, sizeof text, "data: %.0f%% of %s %s (%s of %s), %s left", 100 * share, domain, what, have, whole,
             left);
    if (live)
        draw_bar(share, text);
    else
        fprintf(stderr, "%s\n", text);
}

void pawl_end_preparing(void)
{
    if (shown.live_line) fprintf(stderr, "\r\033[K");
    memset(&shown, 0, sizeof shown);
}
