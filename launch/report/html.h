/* launch/report/html.h - a page is written through one door, which escapes; figures are texts of fixed size.
 *
 * What users named (runs, domains, stages, paths, licences) reaches a page as an argument of pawl_html and in no other
 * way, so none of it can become markup. What is written is well-formed XML, too: a test reads it with a parser that
 * forgives nothing. */
#ifndef PAWL_LAUNCH_REPORT_HTML_H
#define PAWL_LAUNCH_REPORT_HTML_H

#include <stdint.h>

#include "core/text.h"

/* Appends markup, each $ in it replaced by the next argument (const char *), escaped for text and for quoted attributes
 * alike. What cannot be seen, or turns the direction of what follows, stands as its number: <U+202E>. */
#define HTML(out, ...) pawl_html(out, __VA_ARGS__, (const char *)0)
void pawl_html(pawl_text *out, const char *markup, ...) __attribute__((sentinel));

/* A figure as text; all say "–" of what is not finite. Use: pawl_count_of(n).text */
typedef struct pawl_figure {
    char text[56];
} pawl_figure;
pawl_figure pawl_count_of(double n);            /* 12 345, in thin spaces */
pawl_figure pawl_digits_of(double x, int most); /* so many significant digits: 0.001, 2.79, 1e-7 */
pawl_figure pawl_fixed_of(double x, int places);
pawl_figure pawl_signed_of(double x, int places); /* +0.12, −0.03, 0.00 */
pawl_figure pawl_bytes_of(double bytes);
pawl_figure pawl_seconds_of(double seconds);   /* 3:00:59; below a minute 4.2 s */
pawl_figure pawl_short_of(const char *digest); /* the first 12 letters */

#endif
