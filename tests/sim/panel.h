/*
 * panel.h - the control calls under /sim/: what tests turn and read.
 */
#ifndef SIM_PANEL_H
#define SIM_PANEL_H

#include "tests/sim/sim.h"

/* Answers a request whose path begins with "/sim/". */
void panel_answer(struct sim *sim, struct exchange *exchange, const struct wire_request *request);

#endif
