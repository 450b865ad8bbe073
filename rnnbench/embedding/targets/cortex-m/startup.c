/* From reset to main: the FPU, the memory, a clock, and the command line that the emulator gives. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern char data_start[], data_end[], data_from[], bss_start[], bss_end[], stack_top[];
extern void initialise_monitor_handles(void); /* of newlib: files and stdout by semihosting */
extern void _exit(int code);
extern int main(int argc, char **argv);
double seconds(void);
void reset(void);

#define REGISTER(at) (*(volatile uint32_t *)(at))
#define SYSTICK_CONTROL REGISTER(0xE000E010u)
#define SYSTICK_RELOAD REGISTER(0xE000E014u)
#define SYSTICK_VALUE REGISTER(0xE000E018u)
#define COPROCESSORS REGISTER(0xE000ED88u)

enum { TICKS = 1 << 24, CLOCK = 25000000, SYS_WRITE0 = 0x04, SYS_GET_CMDLINE = 0x15 };

static volatile uint32_t wraps;

/* A call of the host, as Arm's semihosting has it. */
static int host(int what, const void *given) {
    register int r0 __asm__("r0") = what;
    register const void *r1 __asm__("r1") = given;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void fault(void) {
    host(SYS_WRITE0, "model: a fault of the processor: is there too little memory?\n");
    _exit(2);
}

static void nothing(void) {}
static void tick(void) { wraps++; }

/* The time since reset, by the timer of the core. */
double seconds(void) {
    uint32_t before, ticks;
    do {
        before = wraps;
        ticks = (uint32_t)TICKS - SYSTICK_VALUE;
    } while (before != wraps);
    return ((double)before * TICKS + (double)ticks) / CLOCK;
}

/* The words of the command line, which are separated by spaces. */
static int words_of(char *line, char **argv, int most) {
    int argc = 0;
    for (char *word = strtok(line, " "); word && argc < most; word = strtok(NULL, " ")) argv[argc++] = word;
    argv[argc] = NULL;
    return argc;
}

static void start(void) {
    static char line[1024];
    static char *argv[9];
    struct {
        char *text;
        uint32_t size;
    } asked = {line, sizeof line};
    memcpy(data_start, data_from, (size_t)(data_end - data_start));
    memset(bss_start, 0, (size_t)(bss_end - bss_start));
    SYSTICK_RELOAD = TICKS - 1;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 7; /* on, with an interrupt, at the clock of the core */
    initialise_monitor_handles();
    if (host(SYS_GET_CMDLINE, &asked)) line[0] = 0;
    exit(main(words_of(line, argv, 8), argv));
}

void reset(void) {
#if defined(__ARM_FP)
    COPROCESSORS |= 0xFu << 20;
    __asm__ volatile("dsb\n isb");
#endif
    start();
}

/* newlib calls these around main. */
void _init(void);
void _fini(void);
void _init(void) {}
void _fini(void) {}

typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) static const handler vectors[16] = {
    (handler)(uintptr_t)stack_top, reset, nothing, fault, fault, fault, fault, NULL,
    NULL, NULL, NULL, nothing, nothing, NULL, nothing, tick,
};
