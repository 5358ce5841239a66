/*
 * What the conformance guest needs besides bare.S: a multiboot header, interrupts, instructions
 * that may fault, and the way of another processor from its start-up interrupt into C.
 *
 * An interrupt is only let in by irq_spin, irq_halt and smp_sleep, and its handler goes on behind
 * them instead of returning: KVM's instruction emulator, where it has to run such code, knows no
 * iret in protected mode.
 *
 * Sources: Multiboot specification 0.6.96, 3.1; Intel SDM volume 3, 6.11 (gates), 8.4 (MP
 * initialization), 9.9.1 (switching to protected mode).
 */
    .section .multiboot, "a"
    .balign 4
multiboot:                      /* with addresses, since the file may be ELF64 */
    .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
    .long multiboot, multiboot, image_data_end, image_end, bare_start

    .text
    .code32

/* void irq_init(void): a table of 256 gates; the first 32 are bare.S's. */
    .globl irq_init
irq_init:
    pushl %esi
    pushl %edi
    sidt irq_pointer
    movl irq_pointer + 2, %esi
    movl $irq_table, %edi
    movl $64, %ecx
    rep movsl
    movl $irq_stubs, %esi
    movl $224, %ecx
    call bare_gates
    movw $256 * 8 - 1, irq_pointer
    movl $irq_table, irq_pointer + 2
    lidt irq_pointer
    popl %edi
    popl %esi
    ret

    .balign 16
irq_stubs:
    .set vector, 32
    .rept 224
    .balign 16
    .if vector == 0x41
    addl $12, %esp              /* SMP_VECTOR: EIP, CS, EFLAGS */
    jmp smp_woken
    .else
    pushl $vector
    jmp irq_came
    .endif
    .set vector, vector + 1
    .endr

irq_came:
    rdtsc
    movl %eax, irq_tsc
    movl %edx, irq_tsc + 4
    popl irq_vector
    incl irq_count
    movl irq_stack, %esp
    jmp *irq_fixup

/* int irq_spin(uint32_t looks): interrupts on for so many turns of a loop, or until one comes.
   int irq_halt(void): interrupts on, and HLT. Both: whether one came. */
    .globl irq_spin, irq_halt
irq_spin:
    movl 4(%esp), %ecx
    pushl %ebx
    pushl %esi
    pushl %edi
    pushl %ebp
    movl $3f, irq_fixup
    movl %esp, irq_stack
    sti
1:  decl %ecx
    jnz 1b
2:  cli
    xorl %eax, %eax
    jmp 4f
3:  movl $1, %eax
4:  popl %ebp
    popl %edi
    popl %esi
    popl %ebx
    ret
irq_halt:
    pushl %ebx
    pushl %esi
    pushl %edi
    pushl %ebp
    movl $3b, irq_fixup
    movl %esp, irq_stack
    sti
    hlt
    jmp 2b

/* int try_wrmsr(uint32_t msr, uint32_t low, uint32_t high): 0, or 1 when the CPU refused. */
    .globl try_wrmsr
try_wrmsr:
    movl $1f, bare_fixup
    movl 4(%esp), %ecx
    movl 8(%esp), %eax
    movl 12(%esp), %edx
    wrmsr
1:  movl $0, bare_fixup
    xorl %eax, %eax
    xchgl %eax, bare_faults
    ret

/* int try_lfence(void): 0, or 1 when there is no such instruction. */
    .globl try_lfence
try_lfence:
    movl $1f, bare_fixup
    lfence
1:  movl $0, bare_fixup
    xorl %eax, %eax
    xchgl %eax, bare_faults
    ret

/* void smp_sleep(const volatile uint32_t *word, uint32_t value): HLT until the word is another;
   SMP_VECTOR wakes. */
    .globl smp_sleep
smp_sleep:
1:  movl 4(%esp), %ecx
    movl 8(%esp), %eax
    cmpl %eax, (%ecx)
    jne 2f
    sti
    hlt
    cli
    jmp 1b
2:  ret
smp_woken:
    movl $0, 0xfee000b0         /* end of interrupt */
    jmp 1b

/* Copied to 64 KiB boundaries below 1 MiB; a start-up interrupt begins here in real mode. */
    .globl smp_trampoline, smp_trampoline_end, smp_count
    .code16
smp_trampoline:
    cli
    lgdtl %cs:smp_gdt_pointer - smp_trampoline
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $8, $smp_protected
    .balign 8
smp_gdt_pointer:
    .word 3 * 8 - 1
    .long smp_gdt
smp_trampoline_end:
    .code32
smp_protected:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    lidt irq_pointer
    movl $1, %eax
    lock xaddl %eax, smp_count
    cmpl $7, %eax               /* SMP_MOST - 1 */
    jae 1f
    incl %eax
    movl %eax, %esp
    shll $12, %esp
    addl $smp_stacks, %esp
    pushl %eax
    call smp_main
1:  cli
    hlt
    jmp 1b

    .data
    .balign 8
smp_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
irq_pointer:
    .word 0
    .long 0
    .globl irq_count, irq_vector, irq_tsc
    .balign 8
irq_tsc:
    .quad 0
irq_count:
    .long 0
irq_vector:
    .long 0
irq_fixup:
    .long 0
irq_stack:
    .long 0
smp_count:
    .long 0

    .bss
    .balign 16
irq_table:
    .skip 256 * 8
smp_stacks:
    .skip 8 * 4096
    .section .note.GNU-stack, "", @progbits
