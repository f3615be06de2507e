/*
 * systemd.h - tells the service manager how we are (sd_notify(3), without libsystemd).
 *
 * Without $NOTIFY_SOCKET nothing happens: nobody asked.
 */
#ifndef COMMON_SYSTEMD_H
#define COMMON_SYSTEMD_H

#include <stdint.h>

/* "READY=1", "STOPPING=1", "WATCHDOG=1". Never blocks; what can't be sent is not. */
void systemd_tell(const char *state);
/* How often WATCHDOG=1 is due: half of the time after which systemd takes us for dead; 0: never. */
int64_t systemd_watchdog_ms(void);

#endif
