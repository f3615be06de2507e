#include "worker/job/call.h"

const char *
outcome_name(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_OK: return "ok";
    case OUTCOME_THROTTLED: return "throttled";
    case OUTCOME_TRANSIENT: return "transient";
    case OUTCOME_TIMEOUT: return "timeout";
    case OUTCOME_UNREACHABLE: return "unreachable";
    case OUTCOME_AUTH: return "auth";
    case OUTCOME_MODEL_CONFIG: return "model_config";
    case OUTCOME_UNSUITED: return "unsuited";
    case OUTCOME_REJECTED: return "rejected";
    case OUTCOME_BAD_OUTPUT: return "bad_output";
    case OUTCOME_CANCELLED: return "cancelled";
    }
    return "unknown";
}
