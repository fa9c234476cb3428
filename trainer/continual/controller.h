/* trainer/continual/controller.h - replay: {ratio: auto}: the share of replayed rows that holds the budget, and no
 * more. */
#ifndef PAWL_TRAINER_CONTINUAL_CONTROLLER_H
#define PAWL_TRAINER_CONTINUAL_CONTROLLER_H

#define PAWL_CONTROL_START 0.10 /* a stage begins with this share */
#define PAWL_CONTROL_MOST  0.75
#define PAWL_CONTROL_LEAST 0.01 /* below it: none */

/* The share until the next probe. rise: of the worst earlier domain's loss, in nats per token; before: at the probe
 * before this one (rise itself at the first). What the rise comes to at the next probe is taken to be rise + (rise -
 * before), when it grows. Above the budget the share grows by half and 0.05; from four fifths of the budget on it
 * stays; below, it falls, the faster the further below, to half. A rise that is no number counts as above. Pure. */
double pawl_control(double share, double rise, double before, double budget);

#endif
